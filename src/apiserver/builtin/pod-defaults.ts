/** What kube-apiserver fills into a pod's spec. */
import { copyOf } from "#base";
import { setPath } from "#machinery";

/** A piece of plain JSON. */
export type Json = Readonly<Record<string, unknown>>;

const known = new WeakMap<Json, Json>();
const TOKEN_SECONDS = 3600;
const FILE_MODE = 420;

/** A value that gets members until it is done; what it began with when none came. It is copied once, not for each member. */
class Draft {
  #value: Record<string, unknown>;
  readonly #begun: Json;

  constructor(value: Json) {
    this.#value = value;
    this.#begun = value;
  }

  get(name: string): unknown {
    return this.#value[name];
  }

  set(name: string, value: unknown): void {
    if (this.#value[name] === value) return;
    if (this.#value === this.#begun) this.#value = copyOf(this.#begun);
    this.#value[name] = value;
  }

  put(name: string, value: unknown): void {
    if (this.#value[name] === undefined || this.#value[name] === null) this.set(name, value);
  }

  remove(name: string): void {
    if (this.#value[name] === undefined) return;
    const { [name]: _removed, ...rest } = this.#value;
    this.#value = rest;
  }

  /** Puts another value in the place of a member that is there. */
  map(name: string, change: (value: Json) => Json): void {
    const value = this.#value[name];
    if (typeof value === "object" && value !== null) this.set(name, change(value as Json));
  }

  /** The same for each element of a list. */
  each(name: string, change: (value: Json) => Json): void {
    const list = this.#value[name];
    if (!Array.isArray(list)) return;
    const next = (list as readonly Json[]).map(change);
    if (next.some((item, at) => item !== list[at])) this.set(name, next);
  }

  done(): Json {
    return this.#value;
  }
}

const drafted =
  (change: (draft: Draft) => void) =>
  (value: Json): Json => {
    const draft = new Draft(value);
    change(draft);
    return draft.done();
  };

/** The same input object gives the same output object. */
export function defaultPodSpec(spec: Json, restartPolicy = "Always"): Json {
  const before = known.get(spec);
  if (before !== undefined) return before;
  const draft = new Draft(spec);
  if (draft.get("schedulerName") === "") draft.remove("schedulerName");
  draft.put("restartPolicy", restartPolicy);
  draft.put("terminationGracePeriodSeconds", 30);
  // A grace below zero was once written by mistake; it means the shortest.
  if (Number(draft.get("terminationGracePeriodSeconds")) < 0) draft.set("terminationGracePeriodSeconds", 1);
  draft.put("dnsPolicy", "ClusterFirst");
  draft.put("securityContext", {});
  draft.put("schedulerName", "default-scheduler");
  // The account has an old name as well, which follows the new one.
  const account = draft.get("serviceAccountName") || draft.get("serviceAccount");
  if (account) {
    draft.set("serviceAccountName", account);
    draft.set("serviceAccount", account);
  }
  const isOnHost = draft.get("hostNetwork") === true;
  for (const list of ["containers", "initContainers", "ephemeralContainers"])
    draft.each(list, (container) => defaultContainer(container, isOnHost));
  draft.each("volumes", defaultVolume);
  const output = draft.done();
  known.set(spec, output);
  known.set(output, output);
  return output;
}

/** Of a pod, not of a template: requests that are left out are what the limits say. */
export const withRequests = drafted((spec) => {
  for (const list of ["containers", "initContainers", "ephemeralContainers"])
    spec.each(
      list,
      drafted((container) => container.map("resources", (resources) => requestsFromLimits(resources))),
    );
  spec.map("resources", (resources) => requestsFromLimits(resources, isForPods));
});

/** Resources that a pod as a whole can ask for. */
const isForPods = (name: string) => name === "cpu" || name === "memory" || name.startsWith("hugepages-");

function requestsFromLimits(resources: Json, isMeant: (name: string) => boolean = () => true): Json {
  const limits = resources["limits"] as Json | undefined;
  const requests = resources["requests"] as Json | undefined;
  if (limits === undefined || limits === null) return resources;
  const missing = Object.entries(limits).filter(([name]) => requests?.[name] === undefined && isMeant(name));
  return missing.length === 0 ? resources : { ...resources, requests: { ...requests, ...Object.fromEntries(missing) } };
}

function defaultContainer(container: Json, isOnHost: boolean): Json {
  const draft = new Draft(container);
  draft.put("terminationMessagePath", "/dev/termination-log");
  draft.put("terminationMessagePolicy", "File");
  draft.put("imagePullPolicy", pullPolicyOf(String(container["image"] ?? "")));
  draft.put("resources", {});
  draft.each("ports", (port) => {
    const next = new Draft(port);
    next.put("protocol", "TCP");
    if (isOnHost && port["containerPort"] !== undefined) next.put("hostPort", port["containerPort"]);
    return next.done();
  });
  for (const name of ["livenessProbe", "readinessProbe", "startupProbe"]) draft.map(name, defaultProbe);
  draft.map("lifecycle", defaultLifecycle);
  draft.each("env", defaultVariable);
  return draft.done();
}

const defaultHandler = drafted((handler) => {
  handler.map(
    "httpGet",
    drafted((get) => {
      if (!get.get("path")) get.set("path", "/");
      if (!get.get("scheme")) get.set("scheme", "HTTP");
    }),
  );
});

const defaultLifecycle = drafted((lifecycle) => {
  for (const name of ["postStart", "preStop"]) lifecycle.map(name, defaultHandler);
});

const defaultProbe = (probe: Json): Json => {
  const draft = new Draft(defaultHandler(probe));
  draft.put("timeoutSeconds", 1);
  draft.put("periodSeconds", 10);
  draft.put("successThreshold", 1);
  draft.put("failureThreshold", 3);
  return draft.done();
};

const defaultFieldRef = drafted((ref) => {
  if (!ref.get("apiVersion")) ref.set("apiVersion", "v1");
});
const defaultResourceRef = drafted((ref) => ref.put("divisor", "0"));

const withRefs = drafted((holder) => {
  holder.map("fieldRef", defaultFieldRef);
  holder.map("resourceFieldRef", defaultResourceRef);
});

const defaultVariable = drafted((variable) => variable.map("valueFrom", withRefs));

const withMode = (source: Draft) => source.put("defaultMode", FILE_MODE);

const defaultDownward = drafted((source) => source.each("items", withRefs));

const defaultProjection = drafted((source) => {
  source.map("downwardAPI", defaultDownward);
  source.map(
    "serviceAccountToken",
    drafted((token) => token.put("expirationSeconds", TOKEN_SECONDS)),
  );
});

function defaultVolume(volume: Json): Json {
  const draft = new Draft(volume);
  if (Object.keys(volume).every((name) => name === "name" || volume[name] === undefined || volume[name] === null))
    draft.set("emptyDir", {});
  for (const kind of ["configMap", "secret"]) draft.map(kind, drafted(withMode));
  draft.map(
    "downwardAPI",
    drafted((source) => {
      withMode(source);
      source.each("items", withRefs);
    }),
  );
  draft.map(
    "projected",
    drafted((source) => {
      withMode(source);
      source.each("sources", defaultProjection);
    }),
  );
  draft.map(
    "hostPath",
    drafted((source) => source.put("type", "")),
  );
  draft.map(
    "image",
    drafted((source) => {
      if (!source.get("pullPolicy")) source.set("pullPolicy", pullPolicyOf(String(source.get("reference") ?? "")));
    }),
  );
  const template = (volume["ephemeral"] as Json | undefined)?.["volumeClaimTemplate"] as Json | undefined;
  const claim = template?.["spec"] as Json | undefined;
  if (template !== undefined && claim?.["volumeMode"] === undefined)
    return setPath(draft.done(), ["ephemeral", "volumeClaimTemplate", "spec", "volumeMode"], "Filesystem");
  return draft.done();
}

const IMAGE =
  /^([a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*)(?::([\w][\w.-]{0,127}))?(@.*)?$/;

/** How often an image is fetched anew: one without a fixed tag always, what is no name of an image never. */
function pullPolicyOf(image: string): string {
  const at = image.indexOf("/");
  const host = at < 0 ? "" : image.slice(0, at);
  const isHost = /[.:A-Z]/.test(host) || host === "localhost";
  const match = IMAGE.exec(isHost ? image.slice(at + 1) : image);
  // Names are no longer than this, host included.
  const name = match?.[2] === undefined ? image : image.slice(0, -match[2].length - 1);
  if (match === null || name.length > 255 || match[3] !== undefined) return "IfNotPresent";
  return match[2] === undefined || match[2] === "latest" ? "Always" : "IfNotPresent";
}
