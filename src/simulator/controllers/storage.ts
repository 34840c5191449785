import { PersistentVolume, PersistentVolumeClaim } from "#apis/kubernetes";
import { type ControllerContext, defineController, done, type Request, type Result } from "#controller-runtime";
import { isAlreadyExists, isBeingDeleted, isConflict, isNotFound } from "#machinery";

/** Gives every claim a volume of the size it asks for, as a provisioner would. */
export const storageController = defineController<unknown, Record<string, never>>({
  name: "persistentvolume-binder",
  reconciles: [PersistentVolumeClaim],
  when: ({ type }) => type !== "deleted",
  writes: [
    { kind: PersistentVolumeClaim, verbs: ["update"], subresources: ["status"] },
    { kind: PersistentVolume, verbs: ["create", "update"], subresources: ["status"] },
  ],
  options: {},
  reconcile,
});

async function reconcile(request: Request, context: ControllerContext): Promise<Result> {
  const claim = context.cache(PersistentVolumeClaim).get(request.key);
  if (claim === undefined || isBeingDeleted(claim) || claim.status?.phase === "Bound") return done;
  const volumeName = claim.spec?.volumeName || `pvc-${claim.metadata.uid}`;
  const storage = claim.spec?.resources?.requests?.["storage"] ?? "1Gi";
  const accessModes = claim.spec?.accessModes ?? ["ReadWriteOnce"];
  const { client } = context;
  try {
    const volume = await client.create(PersistentVolume, {
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: { name: volumeName },
      spec: {
        capacity: { storage },
        accessModes,
        persistentVolumeReclaimPolicy: "Delete",
        hostPath: { path: `/simulated/${volumeName}` },
        claimRef: {
          apiVersion: "v1",
          kind: "PersistentVolumeClaim",
          namespace: request.namespace ?? "",
          name: request.name,
          uid: claim.metadata.uid ?? "",
        },
      },
    } as PersistentVolume);
    await client.updateStatus(PersistentVolume, { ...volume, status: { phase: "Bound" } } as PersistentVolume);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
  try {
    const named =
      claim.spec?.volumeName === volumeName
        ? claim
        : await client.update(PersistentVolumeClaim, {
            ...claim,
            spec: { ...claim.spec, volumeName },
          } as PersistentVolumeClaim);
    await client.updateStatus(PersistentVolumeClaim, {
      ...named,
      status: { phase: "Bound", accessModes, capacity: { storage } },
    } as PersistentVolumeClaim);
  } catch (error) {
    if (!isConflict(error) && !isNotFound(error)) throw error;
  }
  return done;
}
