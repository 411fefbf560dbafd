/**
 * The one error class of this package. A caller looks at `kind`, never at the text; both cross a `MessagePort` as data.
 */

/** What went wrong, by what can be done about it. */
export type BridgeErrorKind =
  | "not_downloaded" // ask the user, then load with `allowDownload`
  | "offline" // the server was not reached
  | "http" // the server refused; `details.status`
  | "bad_content" // the server sent something else, such as an HTML page
  | "bad_hash" // the bytes are not those that the manifest promises
  | "quota" // no room to keep the file; `details.needed`, `details.available` in bytes
  | "too_big" // more memory than this device gives; `details.needed`, `details.available` in bytes
  | "out_of_memory" // no room to run the model
  | "device_lost" // the graphics processor went away, and the model's state with it
  | "aborted" // the caller's signal
  | "bad_model" // the manifest or the graph cannot be used
  | "closed" // used after `close`, or the worker is gone
  | "bad_request" // an argument is out of range
  | "too_long" // more tokens than the model's context; `details.needed`, `details.available` in tokens
  | "unsupported" // this page or host lacks what is needed
  | "internal"; // anything else: a defect of this package or of the runtime

export type BridgeErrorDetails = Readonly<Record<string, string | number>>;

/** A `BridgeError` as it crosses a port. */
export interface BridgeErrorData {
  readonly kind: BridgeErrorKind;
  readonly message: string;
  readonly details: BridgeErrorDetails;
}

export class BridgeError extends Error {
  readonly kind: BridgeErrorKind;
  readonly details: BridgeErrorDetails;

  constructor(kind: BridgeErrorKind, message: string, details: BridgeErrorDetails = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    // Code that knows only the platform's convention asks for this name.
    this.name = kind === "aborted" ? "AbortError" : "BridgeError";
    this.kind = kind;
    this.details = details;
  }
}

export function errorToData(error: unknown): BridgeErrorData {
  const { kind, message, details } = toBridgeError(error);
  return { kind, message, details };
}

export function errorFromData(data: BridgeErrorData): BridgeError {
  return new BridgeError(data.kind, data.message, data.details);
}

/** Make a `BridgeError` of anything thrown; `kind` is used where the platform's error does not tell. */
export function toBridgeError(error: unknown, kind: BridgeErrorKind = "internal", doing = ""): BridgeError {
  if (error instanceof BridgeError) return error;
  const name = error instanceof Error || isNamed(error) ? error.name : "";
  const text = error instanceof Error ? error.message : String(error);
  const message = doing === "" ? text : `${doing}: ${text}`;
  if (name === "AbortError") return new BridgeError("aborted", "stopped by the caller", {}, error);
  if (name === "QuotaExceededError") return new BridgeError("quota", message, {}, error);
  // bad_alloc is C++'s own; the others are what engines and Emscripten say when a memory cannot grow.
  if (/bad_alloc|out of memory|\bOOM\b|allocation failed|could not allocate|failed to allocate/i.test(text)) {
    return new BridgeError("out_of_memory", message, {}, error);
  }
  if (/device (is |was )?lost|lost (the )?(gpu )?device|GPUDevice.{0,40}lost/i.test(text)) {
    return new BridgeError("device_lost", message, {}, error);
  }
  return new BridgeError(kind, message, {}, error);
}

/** Throw `aborted` when the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new BridgeError("aborted", "stopped by the caller");
}

function isNamed(error: unknown): error is { name: string } {
  return typeof error === "object" && error !== null && "name" in error && typeof error.name === "string";
}
