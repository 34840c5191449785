/** The house's ranks: a room imports lower numbers only, through doors; equal numbers never meet; type imports count. */
const ranks = [
  ["base"],
  ["machinery"],
  ["apis", "store", "certs", "cel", "network", "user-modules"],
  ["apiserver", "client"],
  ["controller-runtime"],
  ["member", "override", "simulator"],
  ["interpreter", "estimator"],
  ["controllers", "scheduler", "admission", "aggregated-apiserver", "search", "metrics-adapter", "operator"],
  ["config"],
  ["controlplane", "agent"],
  ["cli"],
  ["testing"],
];

const forbidden = [
  {
    name: "no-circular",
    comment: "A cycle means two files are one thought in two places.",
    severity: "error",
    from: { pathNot: "node_modules" },
    to: { circular: true, viaOnly: { pathNot: "node_modules" } },
  },
  {
    name: "tests-only-testing",
    comment: "The testing room is for tests.",
    severity: "error",
    from: { path: "^src/", pathNot: "(\\.test\\.ts$|^src/testing/)" },
    to: { path: "^src/testing/" },
  },
  {
    name: "lab-stays-outside",
    comment: "The lab builds and runs other people's programs for tests; what ships knows nothing of it.",
    severity: "error",
    from: { path: "^src/" },
    to: { path: "^lab/" },
  },
  {
    name: "no-node-in-pure-rooms",
    comment: "base, machinery and apis know no Node: they run in any runtime and in simulation.",
    severity: "error",
    from: { path: "^src/(base|machinery|apis)/", pathNot: "\\.test\\.ts$" },
    to: { dependencyTypes: ["core"] },
  },
  {
    name: "controllers-never-meet",
    comment: "Controllers meet in API objects, not in imports.",
    severity: "error",
    from: { path: "^src/controllers/([^/]+)/", pathNot: "\\.test\\.ts$" },
    to: { path: "^src/controllers/", pathNot: "^src/controllers/$1/" },
  },
];

ranks.forEach((rooms, rank) => {
  const higher = ranks.slice(rank).flat();
  for (const room of rooms) {
    const blocked = higher.filter((other) => other !== room).join("|");
    if (blocked !== "")
      forbidden.push({
        name: `rank-${room}`,
        comment: `${room} has rank ${rank}: it imports lower ranks only.`,
        severity: "error",
        from: { path: `^src/${room}/`, pathNot: "\\.test\\.ts$" },
        to: { path: `^src/(${blocked})/` },
      });
    const door = room === "apis" || room === "controllers" ? `^src/${room}/.+/index\\.ts$|^src/${room}/index\\.ts$` : `^src/${room}/index\\.ts$`;
    forbidden.push({
      name: `door-${room}`,
      comment: `${room} is entered through its door.`,
      severity: "error",
      from: { path: "^(src|tools|test|bin|sim|examples|lab)/", pathNot: `^src/${room}/` },
      to: { path: `^src/${room}/`, pathNot: door },
    });
  }
});

module.exports = {
  forbidden,
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "types", "default"] },
  },
};
