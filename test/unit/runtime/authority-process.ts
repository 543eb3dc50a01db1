/**
 * A second process for the tests of the authority's database: `FILE TASK ...`, one line a result.
 */
import { AuthorityDatabase } from "../../../runtime/authority-database.ts";
import { issued } from "./issued.ts";

const [file = "", task = "", ...rest] = process.argv.slice(2);
const database = AuthorityDatabase.open(file);
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

const TASKS: Readonly<Record<string, () => Promise<void>>> = {
  /** Claims keys for a user, in the order given. */
  claim: async () => {
    const [aor = "", ...keyIds] = rest;
    for (const keyId of keyIds) say((await database.record(issued({ aor, keyId }), 0)).kind);
  },
  revoke: async () => {
    const [aor = ""] = rest;
    say(database.revoke({ kind: "aor", aor }, { at: 1, reason: "keyCompromise" }).kind);
  },
  number: async () => {
    for (let count = 0; count < 20; count += 1) say(database.nextCrlNumber());
  },
  /** Records until it is killed; says a serial number once it is on disk. */
  endless: async () => {
    for (;;) {
      const certificate = issued({});
      await database.record(certificate, 0);
      say(certificate.serial);
    }
  },
};

await TASKS[task]?.();
database.close();
