"""Addresses that may be opened and that may not; every client of the web is tried with them."""

from __future__ import annotations

REFUSED_NUMBERS = (
    # This computer, private networks, links, a cloud's metadata, shared space, documentation.
    *("127.0.0.1", "127.8.9.10", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255"),
    *("192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1"),
    *("198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1"),
    "255.255.255.255",
    # The same in IPv6, as themselves and as what carries IPv4.
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1"),
    *("2001:db8::1", "100::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "::10.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1"),
    "2001:0:4136:e378:8000:63bf:80ff:fffe",  # Teredo: 127.0.0.1
    "::ffff:169.254.169.254",
)

PUBLIC_NUMBERS = (
    *("8.8.8.8", "1.1.1.1", "93.184.216.34", "172.32.0.1", "192.169.0.1", "100.128.0.1"),
    *("2606:4700:4700::1111", "2a00:1450:4001:81b::200e", "::ffff:8.8.8.8", "64:ff9b::808:808"),
    "2002:808:808::1",
)

REFUSED_URLS = (
    *("ftp://example.org/a.jpg", "file:///etc/hostname", "data:image/png;base64,AA", "gopher://a/"),
    *("http:///a.jpg", "http://", "http://[::1", "http://[::1]/a.jpg", "http://a b/c.jpg"),
    *("http://example.org:99999/a.jpg", "http://example.org:x/a.jpg", "http://example.org/\n/a"),
    *("http://127.0.0.1/a.jpg", "https://10.1.2.3/a.jpg", "http://[::ffff:127.0.0.1]:8000/a.jpg"),
    *("http://169.254.169.254/latest/meta-data/", "http://[fe80::1%25eth0]/a.jpg"),
    *("http://example.org:22/a.jpg", "http://example.org:25/", "http://example.org:443.1/"),
    *("http://me:secret@example.org/a.jpg", "http://me@example.org/a.jpg"),
    *("http://8.8.8.8:25/a.jpg", "http://8.8.8.8:0/a.jpg"),
)

PUBLIC_URLS = (
    *("http://example.org/a.jpg", "https://example.org/a.jpg?b=c#d", "HTTPS://EXAMPLE.ORG/A.JPG"),
    *("http://example.org:80/", "https://example.org:8443/a", "http://example.org:8080/a"),
    *("http://8.8.8.8/a.jpg", "https://[2606:4700:4700::1111]/a.jpg", "https://bücher.example/ä"),
)

LOOPBACK_SPELLINGS = (
    # Ways to write 127.0.0.1 that only the resolver understands.
    *("localhost", "127.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "0"),
)
