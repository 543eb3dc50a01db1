/**
 * Certificates and revocation lists that OpenSSL makes, and the paths through them with the verdict
 * that OpenSSL and we must reach. Where they differ the reason stands beside it.
 */
import { CHAIN_MAX_INTERMEDIATES } from "../../protocol/pki/verify-chain.ts";

export interface Made {
  readonly subject?: string;
  /** Name of the issuer's files; its own key if absent. */
  readonly issuer?: string;
  readonly extensions: readonly string[];
  readonly key?: readonly string[];
  readonly digest?: string;
  /** How long it is valid from the start of the test; `VALID_DAYS` if absent. */
  readonly days?: number;
  /** Starts when? In days from the start of the test; needs `days` from there. */
  readonly startsInDays?: number;
}

export interface MadeList {
  /** Whose list: its certificate and key. */
  readonly issuer: string;
  readonly revoked: readonly string[];
  readonly days?: number;
}

export interface Path {
  readonly leaf: string;
  readonly through?: readonly string[];
  readonly anchor?: string;
  readonly isValid: boolean;
  readonly purpose?: "tls-client" | "tls-server";
  readonly lists?: readonly string[];
  /** When, in days from the start of the test. */
  readonly afterDays?: number;
  /** What is shown by it. */
  readonly because?: string;
  /** Why we refuse what OpenSSL takes. */
  readonly stricter?: string;
}

export const VALID_DAYS = 10;
const AUTHORITY = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"];
const USER = ["basicConstraints=CA:FALSE", "keyUsage=critical,digitalSignature"];

export const EC = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
const EC384 = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"];
const RSA = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
const RSA1024 = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"];

const constrained = (constraint: string): Made => ({
  issuer: "root",
  extensions: [...AUTHORITY, `nameConstraints=critical,${constraint}`],
});
const named = (issuer: string, name: string): Made => ({
  issuer,
  extensions: [...USER, `subjectAltName=${name}`],
});
const forPurpose = (issuer: string, purpose: string): Made => ({
  issuer,
  extensions: [...USER, `extendedKeyUsage=${purpose}`],
});

/** Every certificate of the test, each after its issuer. */
export const CERTIFICATES: Readonly<Record<string, Made>> = {
  root: { extensions: AUTHORITY },
  "short-root": {
    extensions: ["basicConstraints=critical,CA:TRUE,pathlen:0", "keyUsage=keyCertSign"],
  },
  "other-root": { subject: "root", extensions: AUTHORITY },
  "rsa-root": { extensions: AUTHORITY, key: RSA },
  user: { issuer: "root", extensions: USER },
  "second-user": { issuer: "root", extensions: USER },
  middle: { issuer: "root", extensions: AUTHORITY },
  "middle-user": { issuer: "middle", extensions: USER },
  "short-user": { issuer: "short-root", extensions: USER },
  "short-middle": { issuer: "short-root", extensions: AUTHORITY },
  "short-middle-user": { issuer: "short-middle", extensions: USER },
  "user-user": { issuer: "user", extensions: USER },
  "mute-middle": { issuer: "root", extensions: ["basicConstraints=CA:TRUE", "keyUsage=cRLSign"] },
  "mute-middle-user": { issuer: "mute-middle", extensions: USER },
  "listless-middle": {
    issuer: "root",
    extensions: ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"],
  },
  "listless-user": { issuer: "listless-middle", extensions: USER },
  stranger: { extensions: USER },
  "odd-user": { issuer: "root", extensions: [...USER, "1.2.3.4=critical,ASN1:NULL"] },
  "odd-harmless-user": { issuer: "root", extensions: [...USER, "1.2.3.4=ASN1:NULL"] },
  "brief-middle": { issuer: "root", extensions: AUTHORITY, days: 2 },
  "brief-middle-user": { issuer: "brief-middle", extensions: USER },
  "future-user": { issuer: "root", extensions: USER, startsInDays: 4, days: 6 },
  "future-middle": { issuer: "root", extensions: AUTHORITY, startsInDays: 4, days: 6 },
  "future-middle-user": { issuer: "future-middle", extensions: USER },
  "sha1-user": { issuer: "root", extensions: USER, digest: "-sha1" },
  "sha384-user": { issuer: "root", extensions: USER, digest: "-sha384" },
  "p384-user": { issuer: "root", extensions: USER, key: EC384 },
  "p384-root": { extensions: AUTHORITY, key: EC384 },
  "p384-root-user": { issuer: "p384-root", extensions: USER, digest: "-sha384" },
  "rsa-user": { issuer: "rsa-root", extensions: USER, key: RSA },
  "rsa-middle": { issuer: "root", extensions: AUTHORITY, key: RSA },
  "rsa-middle-user": { issuer: "rsa-middle", extensions: USER },
  "weak-middle": { issuer: "root", extensions: AUTHORITY, key: RSA1024 },
  "weak-middle-user": { issuer: "weak-middle", extensions: USER },
  "weak-user": { issuer: "root", extensions: USER, key: RSA1024 },
  "ed25519-user": { issuer: "root", extensions: USER, key: ["-algorithm", "ED25519"] },
  "client-user": forPurpose("root", "clientAuth"),
  "server-user": forPurpose("root", "serverAuth"),
  "server-middle": { issuer: "root", extensions: [...AUTHORITY, "extendedKeyUsage=serverAuth"] },
  "server-middle-user": { issuer: "server-middle", extensions: USER },
  "dns-middle": constrained("permitted;DNS:example.com"),
  "dns-kept": named("dns-middle", "DNS:phone.Example.COM"),
  "dns-itself": named("dns-middle", "DNS:example.com"),
  "dns-violated": named("dns-middle", "DNS:phone.example.com,DNS:phone.example.org"),
  "dns-lookalike": named("dns-middle", "DNS:badexample.com"),
  "dns-sip-user": named("dns-middle", "URI:sip:alice@biloxi.example.org"),
  "dns-below": { issuer: "dns-middle", extensions: AUTHORITY },
  "dns-below-violated": named("dns-below", "DNS:phone.example.org"),
  "not-middle": constrained("excluded;DNS:bad.example.com"),
  "not-kept": named("not-middle", "DNS:good.example.com"),
  "not-violated": named("not-middle", "DNS:very.bad.example.com"),
  "uri-middle": constrained("permitted;URI:.example.com"),
  "uri-kept": named("uri-middle", "URI:https://alice.example.com/phone"),
  "uri-violated": named("uri-middle", "URI:https://alice.example.org/.example.com"),
  "uri-user-part": named("uri-middle", "URI:https://alice.example.com@evil.example.org/"),
  "uri-itself": named("uri-middle", "URI:https://example.com/"),
  "uri-sip-user": named("uri-middle", "URI:sip:alice@atlanta.example.com"),
  "host-middle": constrained("permitted;URI:alice.example.com"),
  "host-kept": named("host-middle", "URI:https://alice.example.com:5061/"),
  "host-violated": named("host-middle", "URI:https://bob.example.com/"),
  "email-middle": constrained("permitted;email:example.com"),
  "email-user": { issuer: "email-middle", extensions: USER },
  "level-1": { issuer: "root", extensions: AUTHORITY },
  "level-2": { issuer: "level-1", extensions: AUTHORITY },
  "level-3": { issuer: "level-2", extensions: AUTHORITY },
  "level-4": { issuer: "level-3", extensions: AUTHORITY },
  "level-4-user": { issuer: "level-4", extensions: USER },
  "level-5": { issuer: "level-4", extensions: AUTHORITY },
  "level-5-user": { issuer: "level-5", extensions: USER },
};

/** Every revocation list of the test. */
export const LISTS: Readonly<Record<string, MadeList>> = {
  "root-list": { issuer: "root", revoked: ["second-user"] },
  "brief-list": { issuer: "root", revoked: [], days: 2 },
  "foreign-list": { issuer: "rsa-root", revoked: [] },
  "namesake-list": { issuer: "other-root", revoked: ["user"] },
  "middle-list": { issuer: "middle", revoked: [] },
  "no-middle-list": { issuer: "root", revoked: ["middle"] },
  "listless-list": { issuer: "listless-middle", revoked: [] },
  "rsa-list": { issuer: "rsa-root", revoked: ["rsa-user"] },
};

const LEVELS = ["level-1", "level-2", "level-3", "level-4"];
const below = (middle: string, leaf: string, isValid: boolean, because: string): Path => ({
  leaf,
  through: [middle],
  isValid,
  because,
});

export const PATHS: readonly Path[] = [
  { leaf: "user", isValid: true },
  { leaf: "user", through: ["middle"], isValid: true },
  { leaf: "user", anchor: "other-root", isValid: false, because: "a namesake of its issuer" },
  { leaf: "stranger", isValid: false, because: "self-signed and unknown" },
  { leaf: "middle-user", through: ["middle"], isValid: true },
  { leaf: "middle-user", through: ["user", "middle"], isValid: true },
  { leaf: "middle-user", isValid: false, because: "an intermediate is missing" },
  { leaf: "short-user", anchor: "short-root", isValid: true },
  {
    leaf: "short-middle-user",
    through: ["short-middle"],
    anchor: "short-root",
    isValid: false,
    because: "path length",
  },
  below("user", "user-user", false, "its issuer is no authority"),
  below("mute-middle", "mute-middle-user", false, "its issuer lacks keyCertSign"),
  { leaf: "odd-user", isValid: false, because: "a critical extension that nobody knows" },
  { leaf: "odd-harmless-user", isValid: true },
  { ...below("brief-middle", "brief-middle-user", true, "in time"), afterDays: 1 },
  { ...below("brief-middle", "brief-middle-user", false, "expired intermediate"), afterDays: 3 },
  { leaf: "future-user", isValid: false, because: "not yet valid" },
  { leaf: "future-user", isValid: true, afterDays: 5 },
  below("future-middle", "future-middle-user", false, "intermediate not yet valid"),
  { leaf: "sha1-user", isValid: false, stricter: "SHA-1" },
  { leaf: "sha384-user", isValid: true },
  { leaf: "p384-user", isValid: true },
  { leaf: "p384-root-user", anchor: "p384-root", isValid: true },
  { leaf: "rsa-user", anchor: "rsa-root", isValid: true },
  below("rsa-middle", "rsa-middle-user", true, "RSA between"),
  { ...below("weak-middle", "weak-middle-user", false, ""), stricter: "RSA of 1024 bits above it" },
  { leaf: "weak-user", isValid: false, stricter: "RSA of 1024 bits" },
  { leaf: "ed25519-user", isValid: false, stricter: "a key that we do not verify with" },

  { leaf: "client-user", purpose: "tls-client", isValid: true },
  { leaf: "client-user", purpose: "tls-server", isValid: false, because: "wrong purpose" },
  { leaf: "server-user", purpose: "tls-client", isValid: false, because: "wrong purpose" },
  { leaf: "server-user", isValid: true, because: "nobody asks for a purpose" },
  { leaf: "user", purpose: "tls-client", isValid: true, because: "it restricts none" },
  {
    ...below("server-middle", "server-middle-user", false, "wrong purpose of its issuer"),
    purpose: "tls-client",
  },
  { ...below("server-middle", "server-middle-user", true, ""), purpose: "tls-server" },

  below("dns-middle", "dns-kept", true, "name permitted"),
  below("dns-middle", "dns-itself", true, "name permitted"),
  below("dns-middle", "dns-violated", false, "one name of two not permitted"),
  below("dns-middle", "dns-lookalike", false, "name not permitted"),
  below("dns-middle", "dns-sip-user", true, "names of that form are free"),
  {
    leaf: "dns-below-violated",
    through: ["dns-below", "dns-middle"],
    isValid: false,
    because: "name not permitted two authorities above",
  },
  below("not-middle", "not-kept", true, "name not excluded"),
  below("not-middle", "not-violated", false, "name excluded"),
  below("uri-middle", "uri-kept", true, "host permitted"),
  below("uri-middle", "uri-violated", false, "host not permitted"),
  below("uri-middle", "uri-user-part", false, "host not permitted, whatever stands before it"),
  below("uri-middle", "uri-itself", false, "only hosts below are permitted"),
  below("uri-middle", "uri-sip-user", false, "a URI without host under a constraint of URIs"),
  below("host-middle", "host-kept", true, "host permitted"),
  below("host-middle", "host-violated", false, "host not permitted"),
  { ...below("email-middle", "email-user", false, ""), stricter: "a constraint of another form" },

  { leaf: "user", lists: ["root-list"], isValid: true },
  { leaf: "second-user", lists: ["root-list"], isValid: false, because: "revoked" },
  { leaf: "user", lists: ["brief-list"], isValid: true },
  { leaf: "user", lists: ["brief-list"], afterDays: 3, isValid: false, because: "stale list" },
  { leaf: "user", lists: ["foreign-list"], isValid: false, because: "list of a foreign authority" },
  { leaf: "user", lists: ["namesake-list"], isValid: false, because: "list of a namesake" },
  { leaf: "rsa-user", anchor: "rsa-root", lists: ["rsa-list"], isValid: false, because: "revoked" },
  {
    ...below("middle", "middle-user", true, "both lists are there"),
    lists: ["middle-list", "root-list"],
  },
  {
    ...below("middle", "middle-user", false, "an authority is revoked"),
    lists: ["middle-list", "no-middle-list"],
  },
  {
    ...below("middle", "middle-user", false, "its own issuer's list is missing"),
    lists: ["root-list"],
  },
  {
    ...below("listless-middle", "listless-user", false, "its issuer lacks cRLSign"),
    lists: ["listless-list", "root-list"],
  },

  { leaf: "level-4-user", through: LEVELS, isValid: true },
  {
    leaf: "level-5-user",
    through: [...LEVELS, "level-5"],
    isValid: false,
    stricter: `more than ${CHAIN_MAX_INTERMEDIATES} intermediates`,
  },
];
