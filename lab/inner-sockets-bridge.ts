/**
 * Runs inside a host of the lab network for `inner-sockets.ts`: joins Unix sockets, which every
 * namespace shares, to TCP sockets of this namespace.
 *
 * A Unix connection names in its first line where to connect to; `+` answers that it stands.
 * A line `{ listen, path }` on stdin has every connection taken there joined to `path`.
 */
import { createServer, connect as netConnect, type Socket } from "node:net";
import { createInterface } from "node:readline";

interface Endpoint {
  readonly address: string;
  readonly port: number;
}

const say = (event: object): void => void process.stdout.write(`${JSON.stringify(event)}\n`);

function join(one: Socket, other: Socket): void {
  one.pipe(other).pipe(one);
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.on("error", () => to.destroy());
    from.on("close", () => to.destroy());
  }
}

function dial(local: Socket): void {
  local.once("error", () => local.destroy());
  local.once("readable", () => {
    const head = local.read() as Buffer | null;
    if (head === null) return;
    const end = head.indexOf(10);
    const { address, port } = JSON.parse(head.toString("latin1", 0, end)) as Endpoint;
    const far = netConnect({ host: address, port, noDelay: true });
    far.once("error", () => local.destroy());
    far.once("connect", () => {
      local.write("+");
      far.write(head.subarray(end + 1));
      join(local, far);
    });
  });
}

createServer(dial).listen(process.argv[2] ?? "", () => say({ event: "ready" }));

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const { listen, path } = JSON.parse(line) as { listen: Endpoint; path: string };
    const server = createServer({ noDelay: true }, (far) => join(far, netConnect(path)));
    server.listen(listen.port, listen.address, () => say({ event: "listening", path }));
  })
  .on("close", () => process.exit(0));
