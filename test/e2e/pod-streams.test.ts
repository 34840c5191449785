/** kubectl exec, attach, port-forward and cp against simulated pods: directly and through the cluster proxy, over both protocols. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Fleet } from "#controlplane";
import { hasKubectl, kubectl, startKubectl, startTestFleet } from "#testing";

const MANIFEST = JSON.stringify({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web", namespace: "default" },
  spec: {
    containers: [
      { name: "main", image: "i", env: [{ name: "COLOUR", value: "blue" }], ports: [{ containerPort: 8080 }] },
      { name: "side", image: "i" },
    ],
  },
});
/** kubectl takes WebSockets unless it is told otherwise. */
const PROTOCOLS = {
  WebSockets: {},
  SPDY: { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: "false", KUBECTL_PORT_FORWARD_WEBSOCKETS: "false" },
} as const;

describe.skipIf(!hasKubectl())("kubectl (skipped without one)", () => {
  let fleet: Fleet;
  let roads: Readonly<Record<string, readonly [string, readonly string[]]>>;
  beforeAll(async () => {
    fleet = await startTestFleet(["member1"]);
    const admin = fleet.kubeconfigs.get("flotilla") ?? "";
    const member = fleet.kubeconfigs.get("member1") ?? "";
    const proxy = `https://127.0.0.1:${fleet.listener.port}/apis/cluster.karmada.io/v1alpha1/clusters/member1/proxy`;
    roads = { directly: [member, []], "through the cluster proxy": [admin, ["--server", proxy]] };
    await kubectl(member, ["apply", "-f", "-"], MANIFEST);
    await kubectl(member, ["wait", "--for=condition=Ready", "pod/web", "--timeout=25s"]);
  });
  afterAll(() => fleet.stop());

  describe.each(Object.keys(PROTOCOLS) as (keyof typeof PROTOCOLS)[])("over %s", (protocol) => {
    describe.each(["directly", "through the cluster proxy"])("%s", (road) => {
      const env = PROTOCOLS[protocol];
      const run = (words: readonly string[], input?: string) => {
        const [kubeconfig, options] = roads[road] as readonly [string, readonly string[]];
        return kubectl(kubeconfig, [...options, ...words], input, env);
      };
      const exec = (...command: readonly string[]) => run(["exec", "web", "-c", "main", "--", ...command]);

      test("exec runs a small shell with the container's environment", async () => {
        expect(await exec("echo", "hello", "there")).toBe("hello there\n");
        expect(await exec("env")).toContain("COLOUR=blue\n");
        expect(await exec("sh", "-c", "echo \"a $COLOUR one\" && hostname; false || echo 'as $COLOUR is'")).toBe(
          "a blue one\nweb\nas $COLOUR is\n",
        );
        await expect(exec("/bin/sh", "-c", "echo before; exit 7; echo after")).rejects.toThrow(/exit code 7/);
        await expect(exec("sh", "-c", "ls | wc")).rejects.toThrow(
          /"\|" is not supported[\s\S]*exit code 127|exit code 2/,
        );
        await expect(exec("ls")).rejects.toThrow(/"ls": executable file not found[\s\S]*exit code 127/);
      });

      test("standard input reaches a program until it ends, however long", async () => {
        expect(await run(["exec", "-i", "web", "-c", "main", "--", "cat"], "through\n")).toBe("through\n");
        const long = "0123456789abcdef".repeat(20_000);
        expect(await run(["exec", "-i", "web", "-c", "main", "--", "cat"], long)).toBe(long);
        expect(await run(["exec", "-i", "web", "-c", "main", "--", "sh"], "echo one\necho $HOSTNAME\n")).toBe(
          "one\nweb\n",
        );
        expect(await run(["attach", "-i", "web", "-c", "side"], "back\n")).toContain("back\n");
      });

      test("cp ends as with an image that has no tar", async () => {
        await expect(run(["cp", "default/web:/etc/hostname", "/tmp/none", "-c", "main"])).rejects.toThrow(
          /exit code 127/,
        );
      });

      test("port-forward reaches the ports a container declares, and is refused on others", async () => {
        const [kubeconfig, options] = roads[road] as readonly [string, readonly string[]];
        const forwarding = startKubectl(kubeconfig, [...options, "port-forward", "pod/web", ":8080", ":81"], env);
        try {
          const [open, closed] = await forwarding.until(/127\.0\.0\.1:(\d+) -> 8080[\s\S]*127\.0\.0\.1:(\d+) -> 81\b/);
          for (let n = 0; n < 3; n++) {
            const answer = await fetch(`http://127.0.0.1:${open}/path?n=${n}`, { method: "POST", body: "x" });
            expect(await answer.text()).toMatch(
              new RegExp(
                `^POST /path\\?n=${n}\\nanswered by container main of pod default/web on node member1-node-\\d, port 8080`,
              ),
            );
          }
          await expect(fetch(`http://127.0.0.1:${closed}/`)).rejects.toThrow();
          await forwarding.until(/connection refused/);
        } finally {
          await forwarding.stop();
        }
      });
    });
  });
});
