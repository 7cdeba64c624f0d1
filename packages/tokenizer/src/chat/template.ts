// A chat template (Jinja, through @huggingface/jinja), which may come from an untrusted file.

import { TemplateError } from '../errors.js'
import { globals } from './globals.js'
import { LimitedInterpreter } from './interpreter.js'
import { Environment, parse, tokenize } from './jinja.js'
import type { Node } from './jinja.js'
import { DEFAULT_LIMITS } from './limits.js'
import type { TemplateLimits } from './limits.js'
import { withinTime } from './time-limit.js'

/** Characters that a rendering may put around what `{% generation %}` encloses. */
export interface GenerationMarks {
  readonly start: string
  readonly end: string
}

const OWN_START = '__shakti_generation_start'
const OWN_END = '__shakti_generation_end'

export class ChatTemplate {
  private readonly program: Node
  private readonly limits: Required<TemplateLimits>
  /** Whether the template says by `{% generation %}` what the assistant wrote. */
  readonly marksGeneration: boolean

  /** Throws TemplateError where the template does not parse or is over the limit. */
  constructor(
    readonly source: string,
    limits: TemplateLimits = {},
  ) {
    this.limits = { ...DEFAULT_LIMITS, ...limits }
    if (source.length > this.limits.source) {
      throw new TemplateError(
        'chatTemplate',
        `has ${source.length} characters; at most ${this.limits.source} are parsed.`,
      )
    }
    const prepared = exposeGeneration(source)
    this.marksGeneration = prepared !== source
    this.program = limited('does not parse', this.limits.milliseconds, () =>
      parse(tokenize(prepared, { lstrip_blocks: true, trim_blocks: true })),
    )
  }

  /** Renders with the variables given. Throws TemplateError for what the template raises and for every limit. */
  render(
    variables: Record<string, unknown>,
    marks: GenerationMarks = { start: '', end: '' },
  ): string {
    const environment = new Environment()
    const all = {
      ...globals(),
      ...variables,
      [OWN_START]: marks.start,
      [OWN_END]: marks.end,
    }
    return limited('failed', this.limits.milliseconds, () => {
      for (const [name, value] of Object.entries(all)) environment.set(name, value)
      return String(new LimitedInterpreter(environment, this.limits).run(this.program).value)
    })
  }
}

/**
 * @huggingface/jinja drops `{% generation %}` and `{% endgeneration %}`; here they print a variable in their place.
 * The newline after a tag and the blanks before it go, as for every tag under trim_blocks and lstrip_blocks.
 */
function exposeGeneration(source: string): string {
  return source.replace(
    /(^[ \t]*)?\{%(-?)\s*(end)?generation\s*(-?)%\}\n?/gm,
    (_, _indent, left: string, end: string | undefined, right: string) =>
      `{{${left} ${end === undefined ? OWN_START : OWN_END} ${right}}}`,
  )
}

/** Runs `work` under the time limit; everything it throws becomes a TemplateError. */
function limited<T>(what: string, milliseconds: number, work: () => T): T {
  try {
    return withinTime(milliseconds, work)
  } catch (error) {
    if (error instanceof TemplateError) throw error
    const { code, message } = error as { code?: unknown; message?: unknown }
    const why =
      code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'
        ? `took more than ${milliseconds} ms`
        : `${what}: ${String(message).slice(0, 300)}`
    throw new TemplateError('chatTemplate', `the template ${why}.`, { cause: error })
  }
}
