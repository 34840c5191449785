import { describe, expect, it } from "vitest";
import {
  controllerNames,
  environmentName,
  featureGates,
  isControllerWanted,
  parseFeatureGates,
  parseFlags,
  readFlags,
  refusedFlags,
  serverFlags,
} from "./index.ts";

const entries = Object.values(serverFlags);

describe("the table of flags", () => {
  it("has defaults that its own readers take, one entry a flag, and none that is also refused", () => {
    const names = entries.map(({ flag }) => flag);
    expect(new Set(names).size).toBe(names.length);
    const refused = refusedFlags.map(({ flag }) => flag);
    expect(new Set(refused).size).toBe(refused.length);
    expect(names.filter((name) => refused.includes(name))).toEqual([]);
    const config = parseFlags([]);
    expect(Object.keys(config).sort()).toEqual(Object.keys(serverFlags).sort());
    expect(Object.isFrozen(config)).toBe(true);
    expect([config.securePort, config.resourceEvictionRate, config.gracefulEvictionTimeoutMs]).toEqual([
      5443, 100, 600_000,
    ]);
  });

  it("takes --name=value, --name value and bare switches, the last one winning and lists adding up", () => {
    const config = parseFlags([
      "--secure-port=1",
      "--secure-port",
      "0",
      "--enable-no-execute-taint-eviction",
      "-v=4",
      "--scheduler-plugin=a.js",
      "--scheduler-plugin",
      "b.js,c.js",
      "--graceful-eviction-timeout=1h2m3.5s",
      "--metrics-bind-address=:8080",
      "--health-probe-bind-address=0",
    ]);
    expect([config.securePort, config.enableNoExecuteTaintEviction, config.verbosity]).toEqual([0, true, 4]);
    expect(config.gracefulEvictionTimeoutMs).toBe(3_723_500);
    expect(config.schedulerPlugins).toEqual(["a.js", "b.js", "c.js"]);
    expect(config.metricsBindAddress).toEqual({ host: "0.0.0.0", port: 8080 });
    expect(config.healthProbeBindAddress).toBeUndefined();
  });

  it("takes a flag from the environment where the command line leaves it out, and the caller's default last", () => {
    const env = { [environmentName("secure-port")]: "7", FLOTILLA_SCHEDULER_NAME: "mine", FLOTILLA_PORT: "tcp://x" };
    expect(parseFlags([], { env, defaults: { "secure-port": "9" } }).securePort).toBe(7);
    expect(parseFlags(["--secure-port=8"], { env }).securePort).toBe(8);
    expect(parseFlags([], { env }).schedulerName).toBe("mine");
    expect(parseFlags([], { defaults: { "secure-port": "9" } }).securePort).toBe(9);
    expect(() => parseFlags([], { env: { FLOTILLA_SECURE_PORT: "x" } })).toThrow(/^FLOTILLA_SECURE_PORT: "x" must be/);
  });

  const refusals: readonly (readonly [string, readonly string[], RegExp])[] = [
    ["a flag nobody knows", ["--no-such-flag=1"], /^unknown flag: --no-such-flag$/],
    ["a word that is no flag", ["serve"], /^unknown argument: serve$/],
    ["a flag without its value", ["--secure-port"], /^flag needs an argument: --secure-port$/],
    ["one we cannot honour", ["--resync-period=1m"], /^flag --resync-period cannot be honoured: /],
    ["one given as two words", ["--etcd-servers", "http://x"], /^flag --etcd-servers cannot be honoured: /],
    ["a switch we cannot honour", ["--enable-pprof"], /^flag --enable-pprof cannot be honoured: /],
    ["a port out of range", ["--secure-port=65536"], /^--secure-port: "65536" must be a whole number from 0 to 65535$/],
    ["a negative duration", ["--graceful-eviction-timeout=-1s"], /^--graceful-eviction-timeout: "-1s" must not be neg/],
    ["a duration without unit", ["--cluster-failure-threshold=5"], /is no duration such as 10s or 2m$/],
    ["a frequency of nothing", ["--cluster-status-update-frequency=0s"], /must be greater than 0$/],
    ["a switch that is neither", ["--enable-taint-manager=yes"], /must be true or false$/],
    ["a choice that is none", ["--no-execute-taint-eviction-purge-mode=Never"], /must be one of Gracefully, Directly$/],
    [
      "a bad pattern",
      ["--skipped-propagating-namespaces=a,("],
      /^--skipped-propagating-namespaces: "\(" is no regular/,
    ],
    ["an empty scheduler name", ["--scheduler-name="], /^--scheduler-name must not be empty$/],
    ["a gate nobody knows", ["--feature-gates=Magic=true"], /^--feature-gates: there is no gate "Magic"$/],
    [
      "a controller nobody knows",
      ["--controllers=*,-magic"],
      /^--controllers: there is no controller "magic"; known are/,
    ],
    ["an address without port", ["--metrics-bind-address=localhost"], /must be HOST:PORT, :PORT or 0 for none$/],
  ];
  it.each(refusals)("refuses %s by name", (_, words, message) => {
    expect(() => parseFlags(words)).toThrow(message);
  });

  it("accepts a flag it cannot honour where the value asks for what happens anyway", () => {
    expect(() => parseFlags(["--enable-pprof=false", "--resync-period=0", "--leader-elect=false"])).not.toThrow();
  });

  it("reads any table, such as one command's own", () => {
    const { securePort } = serverFlags;
    expect(readFlags({ securePort }, ["--secure-port=2"])).toEqual({ securePort: 2 });
    expect(() => readFlags({ securePort }, ["--plugins=*"])).toThrow("unknown flag: --plugins");
  });
});

describe("feature gates", () => {
  it("sets groups first, so that a gate beside them wins whatever the order", () => {
    const gates = parseFeatureGates("WorkloadAffinity=false,AllAlpha=true,AllBeta=false,Failover=true");
    const wanted = featureGates.filter(({ name, stage }) =>
      name === "Failover" ? true : stage === "alpha" && name !== "WorkloadAffinity",
    );
    expect([...gates].sort()).toEqual(wanted.map(({ name }) => name).sort());
  });

  it("starts with every gate on, as upstream's end-to-end manifests ask", () => {
    expect(parseFlags(["--feature-gates=AllAlpha=true,AllBeta=true"]).gates.size).toBe(featureGates.length);
  });
});

describe("[DR-39] --controllers", () => {
  it.each([
    ["*", "binding", true],
    ["*", "hpaScaleTargetMarker", false],
    ["*,hpaScaleTargetMarker", "hpaScaleTargetMarker", true],
    ["*,-binding", "binding", false],
    ["-binding,binding,*", "binding", false],
    ["binding,-binding", "binding", true],
    ["execution", "binding", false],
    ["", "binding", false],
  ])("%s: %s runs: %s", (words, name, isWanted) => {
    expect(isControllerWanted(parseFlags([`--controllers=${words}`]).controllers, name)).toBe(isWanted);
  });

  it("knows each name once", () => {
    const names = controllerNames.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });
});
