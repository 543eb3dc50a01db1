/** Writes to a state database until it is killed, and says on stdout what it has committed. */
import { writeSync } from "node:fs";
import { StateDatabase } from "../../../controller/io/state-database.ts";
import { NOW } from "./register-fixture.ts";

const [file = "", from = "0"] = process.argv.slice(2);
const database = StateDatabase.open({ file });
for (let n = Number(from); ; n += 1) {
  const contact = "sip:a@192.0.2.4";
  const received = { transport: "udp", address: "192.0.2.4", port: 5060 } as const;
  const binding = {
    aor: `sip:user${n}@atlanta.example.com`,
    ...{ key: contact, contact, params: [], q: 1, expiresAt: NOW + 60_000, callId: "c", cseq: n },
    ...{ path: [], direct: true, received, addresses: [], updatedAt: NOW },
  };
  database.applyBindings([{ kind: "put", binding }]);
  database.save("call", { id: `call${n}`, value: "x".repeat(n % 3000), at: n });
  if (n % 3 === 0) database.commit();
  if (n % 3 === 0) database.delete("call", `call${n}`);
  database.commit();
  writeSync(1, `${n}\n`);
}
