import {
  type FieldError,
  fieldDuplicate,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  labelKeyErrors,
} from "#machinery";
import { repetitions } from "./checks.ts";

const REASON = /^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$/;
const REASON_TEXT =
  "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')";

/** What conditions of the common form (`metav1.Condition`) must be, wherever a status has them. */
export function conditionStatusErrors(
  conditions: readonly Readonly<Record<string, unknown>>[],
  field: string,
): FieldError[] {
  const wasThere = repetitions();
  return conditions.flatMap((condition, at) => {
    const path = `${field}[${at}]`;
    const [type, reason] = [String(condition["type"] ?? ""), String(condition["reason"] ?? "")];
    const isRepeated = wasThere(type);
    const generation = Number(condition["observedGeneration"] ?? 0);
    return [
      ...labelKeyErrors(type).map((text) => fieldInvalid(`${path}.type`, type, text)),
      ...(isRepeated ? [fieldDuplicate(`${path}.type`, type)] : []),
      ...(["True", "False", "Unknown"].includes(String(condition["status"]))
        ? []
        : [fieldNotSupported(`${path}.status`, condition["status"] ?? "", ["False", "True", "Unknown"])]),
      ...(generation < 0
        ? [fieldInvalid(`${path}.observedGeneration`, generation, "must be greater than or equal to zero")]
        : []),
      ...(condition["lastTransitionTime"] ? [] : [fieldRequired(`${path}.lastTransitionTime`)]),
      ...(reason === ""
        ? [fieldRequired(`${path}.reason`)]
        : REASON.test(reason)
          ? []
          : [fieldInvalid(`${path}.reason`, reason, REASON_TEXT)]),
    ];
  });
}
