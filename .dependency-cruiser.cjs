/** One direction of imports: protocol <- core <- io <- main; runtime only from io and main. */
const PROGRAMS = ["ca", "controller", "agent", "recorder", "device"];

const programsApart = PROGRAMS.map((program) => ({
  name: `${program}-imports-no-other-program`,
  comment: "Programs meet in protocol/control and protocol/ingest only.",
  severity: "error",
  from: { path: `^${program}/` },
  to: { path: `^(${PROGRAMS.filter((other) => other !== program).join("|")}|lab|bin|test|bench)/` },
}));

const apartWithin = ["sip", "sdp", "cms", "srtp"].map((name, _index, all) => ({
  name: `protocol-${name}-stands-alone`,
  severity: "error",
  from: { path: `^protocol/${name}/` },
  to: { path: `^protocol/(${all.filter((other) => other !== name).join("|")})/` },
}));

module.exports = {
  forbidden: [
    ...programsApart,
    ...apartWithin,
    {
      name: "protocol-is-pure",
      comment: "Of the project only protocol itself; of Node only node:crypto and node:buffer.",
      severity: "error",
      from: { path: "^protocol/" },
      to: { path: "^(bin|runtime|ca|controller|agent|recorder|device|lab|test|bench)/" },
    },
    {
      name: "pure-code-uses-no-io-module",
      severity: "error",
      from: { path: "^(protocol/|[a-z]+/core/)" },
      to: { dependencyTypes: ["core"], pathNot: "^(node:)?(crypto|buffer)$" },
    },
    {
      name: "core-imports-protocol-and-core-only",
      severity: "error",
      from: { path: "^([a-z]+)/core/" },
      to: {
        path: "^(bin|runtime|ca|controller|agent|recorder|device|lab|test|bench)/",
        pathNot: "^$1/(core/|config\\.ts$)",
      },
    },
    {
      name: "io-does-not-import-main",
      severity: "error",
      from: { path: "^([a-z]+)/io/" },
      to: { path: "^$1/main\\.ts$" },
    },
    {
      name: "config-imports-no-io",
      severity: "error",
      from: { path: "^([a-z]+)/config\\.ts$" },
      to: { path: "^$1/(io/|main\\.ts$)" },
    },
    {
      name: "runtime-imports-protocol-only",
      severity: "error",
      from: { path: "^runtime/" },
      to: { path: "^(bin|ca|controller|agent|recorder|device|lab|test|bench)/" },
    },
    {
      name: "product-imports-no-test-code",
      severity: "error",
      from: { path: "^(bin|protocol|runtime|ca|controller|agent|recorder|device)/" },
      to: { path: "^(test|bench)/" },
    },
    { name: "no-cycles", severity: "error", from: {}, to: { circular: true } },
    { name: "no-unresolved", severity: "error", from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: {
      extensions: [".ts", ".mjs", ".cjs", ".js"],
      exportsFields: ["exports"],
      conditionNames: ["import", "node", "default", "types"],
    },
  },
};
