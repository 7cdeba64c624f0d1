// Every error of the package. This package imports nothing of ours, so it has its own classes; their shape
// (`op`, `file`, `field`) is the engine's.

/** What a call refused, as `[op] what is wrong. What would be right.` */
export class TokenizerError extends Error {
  override name = 'TokenizerError'
  /** The method, option or file that refused. */
  readonly op: string

  constructor(op: string, message: string, options?: ErrorOptions) {
    super(`[${op}] ${message}`, options)
    this.op = op
  }
}

/** A file that is not what its format promises; names the file and the field. */
export class FileFormatError extends TokenizerError {
  override name = 'FileFormatError'
  readonly file: string
  readonly field: string

  constructor(file: string, field: string, message: string, options?: ErrorOptions) {
    super(file, `${field}: ${message}`, options)
    this.file = file
    this.field = field
  }
}

/** A chat template that does not parse, raised an exception itself, or went over a limit. */
export class TemplateError extends TokenizerError {
  override name = 'TemplateError'
}

/** At most 60 characters of a hostile value, safe to put into a message. */
export function brief(value: unknown): string {
  const text =
    typeof value === 'string' ? JSON.stringify(value.slice(0, 80)) : String(describe(value))
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

function describe(value: unknown): unknown {
  if (value === null || typeof value !== 'object') return value
  return Array.isArray(value) ? `an array of ${value.length}` : 'an object'
}
