// Every error of the engine. The text is made from the fields, `[op] what is wrong. What to do.`, and the fields
// stay readable so that a program can react to them.

export class ShaktiError extends Error {
  override name = 'ShaktiError'
  /** The op, function or file that refused. */
  readonly op: string

  constructor(op: string, message: string, options?: ErrorOptions) {
    super(`[${op}] ${message}`, options)
    this.op = op
  }
}

/** Sizes that do not fit each other or the op. */
export class ShapeError extends ShaktiError {
  override name = 'ShapeError'
  readonly shapes: readonly (readonly number[])[]

  constructor(op: string, message: string, shapes: readonly (readonly number[])[] = []) {
    super(op, message)
    this.shapes = shapes
  }
}

/** Element types that do not fit each other or the op. */
export class DTypeError extends ShaktiError {
  override name = 'DTypeError'
}

/** A device that is not there, or tensors on different ones. */
export class DeviceError extends ShaktiError {
  override name = 'DeviceError'
}

/** A tensor whose memory was given back by `dispose()` or by the scope that owned it. */
export class DisposedError extends ShaktiError {
  override name = 'DisposedError'
}

export class OutOfMemoryError extends ShaktiError {
  override name = 'OutOfMemoryError'
}

/** A gradient that was asked for and does not exist. */
export class AutogradError extends ShaktiError {
  override name = 'AutogradError'
}

/** A call inside `capture` that a replay could not repeat, or a use of what no replay has computed yet. */
export class CaptureError extends ShaktiError {
  override name = 'CaptureError'
}

/** What the native side refused, or found wrong while it ran. */
export class NativeError extends ShaktiError {
  override name = 'NativeError'
}

/** A file that is not what its format promises; names the file, the field and, where there is one, the offset. */
export class FileFormatError extends ShaktiError {
  override name = 'FileFormatError'
  readonly file: string
  readonly field: string
  readonly offset: number | undefined

  constructor(file: string, field: string, message: string, offset?: number) {
    super(file, `${field}: ${message}${offset === undefined ? '' : ` (at byte ${offset})`}`)
    this.file = file
    this.field = field
    this.offset = offset
  }
}
