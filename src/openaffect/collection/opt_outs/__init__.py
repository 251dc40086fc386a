"""Opt-outs: by which words a site says that its images are not for us. Nothing is asked here.

A site says so in robots.txt, before anything is fetched; in a file about text and data mining; or in
the headers of an answer. These are rules on bytes and headers, for whoever fetches. Drafts among
them change, so the raw text is kept with every no. What is unclear counts as a no rather than a
yes, and what cannot be read says nothing. Each module names its sources; all were read in stored
copies in November 2026.
"""

from openaffect.collection.opt_outs.headers import find_in_headers, speaks_on_tdm
from openaffect.collection.opt_outs.robots import ALLOWED, Robots, judge_robots, parse_robots
from openaffect.collection.opt_outs.statements import PRODUCT_TOKEN, OptOut
from openaffect.collection.opt_outs.tdm_files import TdmFile, parse_tdm_file

__all__ = [
    "ALLOWED",
    "PRODUCT_TOKEN",
    "OptOut",
    "Robots",
    "TdmFile",
    "find_in_headers",
    "judge_robots",
    "parse_robots",
    "parse_tdm_file",
    "speaks_on_tdm",
]
