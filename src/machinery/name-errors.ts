import { type FieldError, fieldInvalid, fieldTooLong } from "./status.ts";
import {
  DNS_1035_LABEL,
  DNS_1035_LABEL_TEXT,
  DNS_LABEL,
  DNS_LABEL_TEXT,
  DNS_SUBDOMAIN,
  DNS_SUBDOMAIN_TEXT,
  LABEL_VALUE,
  LABEL_VALUE_TEXT,
} from "./name-formats.ts";

/** What is wrong with names, labels and annotations, as errors of a field with Kubernetes' texts (wire). */

const LABEL_LENGTH_MAX = 63;
const SUBDOMAIN_LENGTH_MAX = 253;
const ANNOTATIONS_BYTES_MAX = 256 * 1024;

const tooLong = (max: number) => `must be no more than ${max} characters`;

const NAME_PART = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const NAME_PART_TEXT =
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

/** What is wrong with a label of a domain name; several of them, with dots between, are none. */
export const labelTexts = (value: string) =>
  formatTexts(value, DNS_LABEL, DNS_SUBDOMAIN.test(value) ? "must not contain dots" : DNS_LABEL_TEXT);

function formatTexts(value: string, format: RegExp, text: string): string[] {
  return [
    ...(value.length > LABEL_LENGTH_MAX ? [tooLong(LABEL_LENGTH_MAX)] : []),
    ...(format.test(value) ? [] : [text]),
  ];
}

export function subdomainTexts(value: string): string[] {
  return [
    ...(value.length > SUBDOMAIN_LENGTH_MAX ? [tooLong(SUBDOMAIN_LENGTH_MAX)] : []),
    ...(DNS_SUBDOMAIN.test(value) ? [] : [DNS_SUBDOMAIN_TEXT]),
  ];
}

/** What is wrong with a key of a label or annotation: a name, perhaps behind a domain and a slash. */
function qualifiedNameTexts(value: string): string[] {
  const parts = value.split("/");
  if (parts.length > 2)
    return [
      `a qualified name ${NAME_PART_TEXT} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  const name = parts[parts.length - 1] as string;
  const prefix = parts.length === 2 ? parts[0] : undefined;
  const texts: string[] = [];
  if (prefix === "") texts.push("prefix part must be non-empty");
  else if (prefix !== undefined) texts.push(...subdomainTexts(prefix).map((text) => `prefix part ${text}`));
  if (name === "") texts.push("name part must be non-empty");
  else if (name.length > LABEL_LENGTH_MAX) texts.push(`name part ${tooLong(LABEL_LENGTH_MAX)}`);
  if (!NAME_PART.test(name)) texts.push(`name part ${NAME_PART_TEXT}`);
  return texts;
}

export const qualifiedNameErrors = (value: string, path: string): FieldError[] =>
  qualifiedNameTexts(value).map((text) => fieldInvalid(path, value, text));

export const labelValueErrors = (value: string, path: string): FieldError[] =>
  [
    ...(value.length > LABEL_LENGTH_MAX ? [`must be no more than ${LABEL_LENGTH_MAX} bytes`] : []),
    ...(LABEL_VALUE.test(value) ? [] : [LABEL_VALUE_TEXT]),
  ].map((text) => fieldInvalid(path, value, text));

/** Keys and values of labels. */
export const labelMapErrors = (labels: Readonly<Record<string, string>>, path: string): FieldError[] =>
  Object.entries(labels).flatMap(([key, value]) => [
    ...qualifiedNameErrors(key, path),
    ...labelValueErrors(value, path),
  ]);

/** Keys of annotations, and that they are not too large together. */
export function annotationMapErrors(annotations: Readonly<Record<string, string>>, path: string): FieldError[] {
  const entries = Object.entries(annotations);
  const bytes = entries.reduce((sum, [key, value]) => sum + utf8Length(key) + utf8Length(value), 0);
  return [
    ...entries.flatMap(([key]) => qualifiedNameTexts(key.toLowerCase()).map((text) => fieldInvalid(path, key, text))),
    ...(bytes > ANNOTATIONS_BYTES_MAX ? [fieldTooLong(path, ANNOTATIONS_BYTES_MAX)] : []),
  ];
}

const utf8Length = (text: string) => new TextEncoder().encode(text).length;

export const labelErrors = (value: string, path: string): FieldError[] =>
  labelTexts(value).map((text) => fieldInvalid(path, value, text));

export const label1035Texts = (value: string) => formatTexts(value, DNS_1035_LABEL, DNS_1035_LABEL_TEXT);

export const label1035Errors = (value: string, path: string): FieldError[] =>
  label1035Texts(value).map((text) => fieldInvalid(path, value, text));

export const subdomainErrors = (value: string, path: string): FieldError[] =>
  subdomainTexts(value).map((text) => fieldInvalid(path, value, text));
