/** The Debian packages that a task needs, each with the reason that set-up prints. */

const RUN = {
  nftables: "the firewall that pinholes live in",
  iproute2: "network namespaces for the demo's and the tests' hosts",
  "util-linux": "setpriv and unshare, by which each program gives up rights",
  "libpcap-dev": "packet capture (the cap add-on is built against it)",
  "g++": "builds the cap add-on",
  make: "builds the cap add-on",
  python3: "builds the cap add-on (node-gyp)",
  kamailio: "the untrusted SIP proxy on the path",
  tcpdump: "records the clear signalling links, to search them for secrets",
};

const TEST = {
  "sip-tester": "sipp, callers and callees by the hundred",
  "baresip-core": "other people's phones",
  "dnsmasq-base": "a DNS server to find SIP servers by",
  openssl: "the other side of our CMS messages and certificates",
  "gstreamer1.0-tools": "the other side of our SRTP",
  "gstreamer1.0-plugins-base": "GStreamer's audio elements",
  "gstreamer1.0-plugins-good": "GStreamer's RTP elements",
  "gstreamer1.0-plugins-bad": "GStreamer's srtpenc and srtpdec",
  tshark: "reads exported pcapng files",
  sox: "reads exported WAV files",
  systemd: "systemd-analyze judges our units",
};

export const DEBIAN_PACKAGES = {
  demo: RUN,
  test: { ...RUN, ...TEST },
  bench: { ...RUN, ...TEST },
  keyhole: RUN,
  check: {},
};
