import { labelSelector, nodeSelector, nodeSelectorTerm } from "./kubernetes-shapes.ts";
import {
  ATOMIC_MAP,
  atomicList,
  boolean,
  int32,
  int64,
  intOrString,
  keyedList,
  list,
  object,
  quantities,
  type Rules,
  shape,
  string,
} from "./schema.ts";
import { fieldReference, resourceFieldReference } from "./volume-shapes.ts";

/** Parts of pods, as Kubernetes has them; the operator's kind embeds them. */

const podAffinityTerm = shape(
  "PodAffinityTerm",
  "Pods to be near to or far from.",
  {
    labelSelector: labelSelector("Labels of those pods."),
    matchLabelKeys: atomicList("Labels of those pods that must be as those of this pod.", string()),
    mismatchLabelKeys: atomicList("Labels of those pods that must differ from those of this pod.", string()),
    namespaceSelector: labelSelector("Labels of the namespaces those pods are in."),
    namespaces: atomicList("Names of the namespaces those pods are in. Empty: that of this pod.", string()),
    topologyKey: string("Label of nodes whose value says what is near, for instance `kubernetes.io/hostname`."),
  },
  ["topologyKey"],
);
const podAffinity = shape("PodAffinity", "Which other pods to be near to or far from.", {
  preferredDuringSchedulingIgnoredDuringExecution: atomicList(
    "Wishes; the node with the greatest sum of weights is taken.",
    object("A wish.", { podAffinityTerm: podAffinityTerm(), weight: int32("Weight of the wish, from 1 to 100.") }, [
      "podAffinityTerm",
      "weight",
    ]),
  ),
  requiredDuringSchedulingIgnoredDuringExecution: atomicList("Demands; all must hold.", podAffinityTerm()),
});

export const affinity = shape("Affinity", "Where pods may run.", {
  nodeAffinity: object("What nodes must or should be like.", {
    preferredDuringSchedulingIgnoredDuringExecution: atomicList(
      "Wishes; the node with the greatest sum of weights is taken.",
      object("A wish.", { preference: nodeSelectorTerm(), weight: int32("Weight of the wish, from 1 to 100.") }, [
        "preference",
        "weight",
      ]),
    ),
    requiredDuringSchedulingIgnoredDuringExecution: nodeSelector("Demands on the node."),
  }),
  podAffinity: podAffinity("Pods to be near to."),
  podAntiAffinity: podAffinity("Pods to be far from."),
});

export const resources = shape("ResourceRequirements", "Resources of a container.", {
  claims: keyedList(
    "Claims of the pod that the container uses.",
    ["name"],
    object(
      "A claim.",
      {
        name: string("Name of the claim in the pod."),
        request: string("Which request of the claim. Empty: all of them."),
      },
      ["name"],
    ),
  ),
  limits: quantities("Most the container may use."),
  requests: quantities("What the container is sure to have."),
});

export const volumeMount = shape(
  "VolumeMount",
  "Mounts a volume of the pod.",
  {
    mountPath: string("Where, in the container; without `:`."),
    mountPropagation: string("Whether later mounts are passed on: None (the default), HostToContainer, Bidirectional."),
    name: string("Name of the volume."),
    readOnly: boolean("Mounts for reading only. Default false."),
    recursiveReadOnly: string("Whether mounts below are for reading only too: Disabled, IfPossible or Enabled."),
    subPath: string("Folder of the volume to mount. Default: its root."),
    subPathExpr: string("As `subPath`, with `$(NAME)` replaced by environment variables."),
  },
  ["mountPath", "name"],
);

const selectorOfKey = (what: string) =>
  object(
    `A key of a ${what}.`,
    {
      key: string("The key."),
      name: string(`Name of the ${what}.`, { default: "" }),
      optional: boolean(`Goes on where the ${what} or the key does not exist.`),
    },
    ["key"],
    ATOMIC_MAP,
  );
const allKeys = (what: string) =>
  object(
    `All keys of a ${what}.`,
    {
      name: string(`Name of the ${what}.`, { default: "" }),
      optional: boolean(`Goes on where the ${what} does not exist.`),
    },
    [],
    ATOMIC_MAP,
  );

const exec = shape("ExecAction", "Runs a command in the container.", {
  command: atomicList("The command with its arguments; no shell. Zero as its result is good.", string()),
});
const httpGet = shape(
  "HTTPGetAction",
  "Asks by HTTP; 200 to 399 are good.",
  {
    host: string("Whom to ask. Default: the pod."),
    httpHeaders: atomicList(
      "Headers to send.",
      object("A header.", { name: string("Name of the header."), value: string("Value of the header.") }, [
        "name",
        "value",
      ]),
    ),
    path: string("Path to ask for."),
    port: intOrString("Port by number or name."),
    scheme: string("HTTP (the default) or HTTPS."),
  },
  ["port"],
);
const tcpSocket = shape(
  "TCPSocketAction",
  "Opens a connection.",
  { host: string("Whom to connect to. Default: the pod."), port: intOrString("Port by number or name.") },
  ["port"],
);
const lifecycleHandler = shape("LifecycleHandler", "What is done. Give one of the fields.", {
  exec: exec(),
  httpGet: httpGet(),
  sleep: object("Waits.", { seconds: int64("For how many seconds.") }, ["seconds"]),
  tcpSocket: tcpSocket(),
});
const probe = shape("Probe", "Looks at the container again and again.", {
  exec: exec(),
  failureThreshold: int32("After how many failures in a row the probe has failed. Default 3."),
  grpc: object(
    "Asks the health service of gRPC.",
    { port: int32("Number of the port."), service: string("Name of the service to ask about.", { default: "" }) },
    ["port"],
  ),
  httpGet: httpGet(),
  initialDelaySeconds: int32("How many seconds after the start to begin. Default 0."),
  periodSeconds: int32("Every how many seconds. Default 10."),
  successThreshold: int32("After how many successes in a row it is good again. Default 1."),
  tcpSocket: tcpSocket(),
  terminationGracePeriodSeconds: int64(
    "How many seconds the container has to end when the probe fails. Default: as the pod.",
  ),
  timeoutSeconds: int32("After how many seconds without an answer it counts as failed. Default 1."),
});
const profile = shape(
  "SecurityProfile",
  "A profile that restricts the container.",
  {
    localhostProfile: string("Name of a profile on the node, for type Localhost."),
    type: string("Localhost, RuntimeDefault or Unconfined."),
  },
  ["type"],
);

const securityContext = object("What the container may do.", {
  allowPrivilegeEscalation: boolean("Whether a process may gain more rights than its parent. Default true."),
  appArmorProfile: profile("AppArmor profile."),
  capabilities: object("Capabilities of Linux.", {
    add: atomicList("Those to give.", string()),
    drop: atomicList("Those to take away.", string()),
  }),
  privileged: boolean("Gives all rights on the node. Default false."),
  procMount: string("How `/proc` is shown: Default or Unmasked."),
  readOnlyRootFilesystem: boolean("Makes the root file system for reading only. Default false."),
  runAsGroup: int64("Id of the group to run as. Default: that of the image."),
  runAsNonRoot: boolean("Refuses to start as root."),
  runAsUser: int64("Id of the user to run as. Default: that of the image."),
  seLinuxOptions: object("Labels of SELinux.", {
    level: string("Level."),
    role: string("Role."),
    type: string("Type."),
    user: string("User."),
  }),
  seccompProfile: profile("Seccomp profile."),
  windowsOptions: object("For nodes with Windows.", {
    gmsaCredentialSpec: string("Text of the credential specification of a group account."),
    gmsaCredentialSpecName: string("Name of that specification."),
    hostProcess: boolean("Runs as a process of the node."),
    runAsUserName: string("Name of the user to run as."),
  }),
});

export const container = shape(
  "Container",
  "A further container of the pod.",
  {
    args: atomicList("Arguments. Absent: those of the image.", string()),
    command: atomicList("Command. Absent: that of the image.", string()),
    env: keyedList(
      "Environment variables.",
      ["name"],
      object(
        "A variable.",
        {
          name: string("Name of the variable."),
          value: string("Value, with `$(NAME)` replaced by earlier variables."),
          valueFrom: object("Where the value comes from. Give one of the fields.", {
            configMapKeyRef: selectorOfKey("ConfigMap"),
            fieldRef: fieldReference(),
            fileKeyRef: object(
              "A key of a file of variables.",
              {
                key: string("The key."),
                optional: boolean("Goes on where file or key do not exist.", { default: false }),
                path: string("The file, relative to the volume."),
                volumeName: string("Name of the volume."),
              },
              ["key", "path", "volumeName"],
              ATOMIC_MAP,
            ),
            resourceFieldRef: resourceFieldReference(),
            secretKeyRef: selectorOfKey("Secret"),
          }),
        },
        ["name"],
      ),
    ),
    envFrom: atomicList(
      "Sources of many variables at once.",
      object("A source. Give one of the references.", {
        configMapRef: allKeys("ConfigMap"),
        prefix: string("Put before each name."),
        secretRef: allKeys("Secret"),
      }),
    ),
    image: string("Name of the image."),
    imagePullPolicy: string("Always, IfNotPresent or Never."),
    lifecycle: object("What is done at start and end.", {
      postStart: lifecycleHandler("Done right after the start."),
      preStop: lifecycleHandler("Done before the end."),
      stopSignal: string("Signal that ends the container. Default: that of the image."),
    }),
    livenessProbe: probe("Starts the container anew when it fails."),
    name: string("Name of the container, unique in the pod."),
    ports: keyedList(
      "Ports the container listens on.",
      ["containerPort", "protocol"],
      object(
        "A port.",
        {
          containerPort: int32("Number of the port."),
          hostIP: string("Address of the node to bind."),
          hostPort: int32("Port of the node to bind."),
          name: string("Name of the port, for Services."),
          protocol: string("TCP, UDP or SCTP.", { default: "TCP" }),
        },
        ["containerPort"],
      ),
    ),
    readinessProbe: probe("Takes the pod out of Services while it fails."),
    resizePolicy: atomicList(
      "What happens when resources change while the container runs.",
      object(
        "For one resource.",
        {
          resourceName: string("Name of the resource: cpu or memory."),
          restartPolicy: string("NotRequired (the default) or RestartContainer."),
        },
        ["resourceName", "restartPolicy"],
      ),
    ),
    resources: resources(),
    restartPolicy: string("When the container is started again: Always, OnFailure or Never. Default: as the pod."),
    restartPolicyRules: atomicList(
      "Exceptions from the restart policy; the first that matches holds.",
      object(
        "An exception.",
        {
          action: string("What is done: Restart."),
          exitCodes: object(
            "Results of the container.",
            {
              operator: string("In or NotIn."),
              values: list("Numbers to compare with.", int32(), { "x-kubernetes-list-type": "set" }),
            },
            ["operator"],
          ),
        },
        ["action"],
      ),
    ),
    securityContext,
    startupProbe: probe("Holds the other probes back until it is good."),
    stdin: boolean("Keeps standard input open. Default false."),
    stdinOnce: boolean("Closes standard input after the first one that attached. Default false."),
    terminationMessagePath: string("File with the last words of the container. Default `/dev/termination-log`."),
    terminationMessagePolicy: string("File (the default), or FallbackToLogsOnError to take the end of the log."),
    tty: boolean("Gives the container a terminal. Default false."),
    volumeDevices: keyedList(
      "Block devices to use.",
      ["devicePath"],
      object(
        "A device.",
        { devicePath: string("Where, in the container."), name: string("Name of the claim in the pod.") },
        ["devicePath", "name"],
      ),
    ),
    volumeMounts: keyedList("Volumes to mount.", ["mountPath"], volumeMount()),
    workingDir: string("Folder to start in. Default: that of the image."),
  },
  ["name"],
);

const BUDGET_RULES: Rules = {
  "x-kubernetes-validations": [
    {
      message: "either minAvailable or maxUnavailable must be set",
      rule: "has(self.minAvailable) || has(self.maxUnavailable)",
    },
    {
      message: "minAvailable and maxUnavailable are mutually exclusive",
      rule: "!(has(self.minAvailable) && has(self.maxUnavailable))",
    },
  ],
};

export const disruptionBudget = shape(
  "PodDisruptionBudgetConfig",
  "How many pods may be taken away on purpose. Give exactly one of the fields.",
  {
    maxUnavailable: intOrString("Most pods that may be missing, as a number or in percent."),
    minAvailable: intOrString("Fewest pods that must stay, as a number or in percent."),
  },
  [],
  BUDGET_RULES,
);
