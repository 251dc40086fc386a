"""The paper's other baseline: histograms of oriented gradients, PCA, and a linear SVM or SVR.

::

    graph       HOG, the linear map and the softmax as one ONNX graph
    features    faces read as features, by that graph on several threads
    machine     PCA and the linear machine, and the one matrix that both come to
    run         from a dataset to a run folder; what `openaffect.training.train` calls
"""
