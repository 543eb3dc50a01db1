/** The probes see what passes the gateway and what does not, under any source address and port. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { readKernelCounters } from "../../lab/kernel-counters.ts";
import { createNetwork, type Network } from "../../lab/network.ts";
import { probeMatrix } from "../../lab/pinhole-matrix.ts";
import { type Flow, openProbes, type Probes } from "../../lab/probe.ts";

const PORTS = { alice: 20_000, bob: 30_000 };
let network: Network;
let probes: Probes;

before(async () => {
  network = createNetwork();
  probes = await openProbes(network);
});
after(async () => {
  await probes.close();
  network.close();
});

const inward: Flow = {
  fromHost: "bob",
  from: { address: "10.20.0.2", port: 30_000 },
  to: { address: "10.10.0.2", port: 20_000 },
};

test("without a firewall all that is sent arrives", async () => {
  const matrix = await probeMatrix(probes, PORTS);
  for (const row of Object.values(matrix))
    for (const [column, passed] of Object.entries(row)) assert.equal(passed, true, column);
});

test("a set of pinholes lets through exactly its elements, and its counters are read", async () => {
  network.run(
    "gateway",
    ["nft", "-f", "-"],
    `table inet keyhole {
      set holes {
        type ipv4_addr . ipv4_addr . inet_service
        counter
        elements = { 10.20.0.2 . 10.10.0.2 . 20000 }
      }
      chain forward {
        type filter hook forward priority 0
        ip saddr . ip daddr . udp dport @holes accept
        udp dport != 9 drop
      }
    }
    `,
  );
  const matrix = await probeMatrix(probes, PORTS);
  const shut = {
    rtp: false,
    rtcp: false,
    portPlus2: false,
    rtpFromOtherPort: false,
    rtcpFromOtherPort: false,
  };
  assert.deepEqual(matrix, {
    bobToAlice: { ...shut, rtp: true, rtpFromOtherPort: true },
    strangerToAlice: shut,
    aliceToBob: shut,
    aliceToStranger: shut,
  });
  const [count, ...others] = readKernelCounters(network);
  assert.deepEqual(others, []);
  assert.equal(count?.address, "10.10.0.2");
  assert.equal(count?.port, 20_000);
  assert.equal(count?.packets, 2);
});

test("the time of a packet's arrival lies after that of its sending", async () => {
  const { sentMs, arrivedMs } = await probes.time(inward);
  assert(arrivedMs !== undefined && arrivedMs >= sentMs);
});
