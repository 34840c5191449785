/** An image reference taken apart. Absent parts are empty. */
export interface ImageReference {
  readonly registry: string;
  readonly repository: string;
  readonly tag: string;
  readonly digest: string;
}

const TAG = /^[\w][\w.-]{0,127}$/;
const DIGEST = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/;
const REPOSITORY = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;

export const isTag = (text: string) => TAG.test(text);
export const isDigest = (text: string) => DIGEST.test(text);

/** Reads `[registry/]repository[:tag][@digest]`; a tag makes the digest go. Throws on anything else. */
export function parseImage(text: string): ImageReference {
  let rest = text;
  let digest = "";
  const at = rest.indexOf("@");
  if (at >= 0) {
    digest = rest.slice(at + 1);
    rest = rest.slice(0, at);
    if (!isDigest(digest)) throw new Error("invalid reference format");
  }
  let registry = "";
  const slash = rest.indexOf("/");
  const first = slash < 0 ? "" : rest.slice(0, slash);
  if (slash >= 0 && (first.includes(".") || first.includes(":") || first === "localhost")) {
    registry = first;
    rest = rest.slice(slash + 1);
  }
  let tag = "";
  const colon = rest.lastIndexOf(":");
  if (colon >= 0) {
    tag = rest.slice(colon + 1);
    rest = rest.slice(0, colon);
    if (!isTag(tag)) throw new Error("invalid reference format");
  }
  if (!REPOSITORY.test(rest))
    throw new Error(
      /[A-Z]/.test(rest) ? "invalid reference format: repository name must be lowercase" : "invalid reference format",
    );
  return { registry, repository: rest, tag, digest: tag === "" ? digest : "" };
}

export function formatImage({ registry, repository, tag, digest }: ImageReference): string {
  const name = registry === "" ? repository : `${registry}/${repository}`;
  if (tag !== "") return `${name}:${tag}`;
  return digest === "" ? name : `${name}@${digest}`;
}

/** One component changed by add, replace or remove. */
export function changeImage(image: ImageReference, component: string, operator: string, value: string): ImageReference {
  if (component === "Registry") {
    if (operator === "remove") return { ...image, registry: "" };
    return { ...image, registry: operator === "add" ? image.registry + value : value };
  }
  if (component === "Repository") {
    if (operator === "remove") return { ...image, repository: "" };
    return { ...image, repository: operator === "add" ? image.repository + value : value };
  }
  if (operator === "remove") return image.tag === "" ? { ...image, digest: "" } : { ...image, tag: "" };
  const wanted = operator === "add" ? (image.tag || image.digest) + value : value;
  if (isTag(wanted)) return { ...image, tag: wanted, digest: "" };
  if (isDigest(wanted)) return { ...image, tag: "", digest: wanted };
  return image;
}
