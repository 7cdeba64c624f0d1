// Runs a chat template (Jinja, through @huggingface/jinja) that may come from an untrusted file. The interpreter's
// values are Maps and plain wrappers, so a template reaches no JavaScript object; what is added here is a limit on
// everything that it can spend: source, steps, depth, sizes and, as the last net, time.

import { createContext, Script, type Context } from 'node:vm'
import * as jinja from '@huggingface/jinja'
import { TemplateError } from './errors.js'

export interface TemplateLimits {
  /** Characters of the template itself; default 131,072. */
  readonly source?: number
  /** Nodes evaluated in one rendering; default 2,000,000. */
  readonly steps?: number
  /** Nesting of nodes being evaluated; default 400. */
  readonly depth?: number
  /** Characters of any one string, the output among them; default 4,194,304. */
  readonly output?: number
  /** Milliseconds of parsing, and of one rendering; default 5,000. Infinity sets no limit. */
  readonly milliseconds?: number
}

const DEFAULT_LIMITS: Required<TemplateLimits> = {
  source: 131_072,
  steps: 2_000_000,
  depth: 400,
  output: 4_194_304,
  milliseconds: 5000,
}

const MAX_ITEMS = 100_000 // entries of one list, or nodes of one built value
const MAX_INDENT = 64
const MAX_VALUE_DEPTH = 64

// The declarations of @huggingface/jinja import without file endings and so come to nothing under NodeNext.
interface Node {
  readonly type: string
}
interface Value {
  readonly value: unknown
}
interface Scope {
  set(name: string, value: unknown): unknown
}
interface Runner {
  run(program: Node): Value
  evaluate(node: Node | undefined, scope: Scope): Value | undefined
}
const { Environment, Interpreter, parse, tokenize } = jinja as unknown as {
  readonly Environment: new () => Scope
  readonly Interpreter: new (scope: Scope) => Runner
  readonly parse: (tokens: unknown) => Node
  readonly tokenize: (
    source: string,
    options: { lstrip_blocks: boolean; trim_blocks: boolean },
  ) => unknown
}

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

function globals(): Record<string, unknown> {
  return {
    true: true,
    false: false,
    none: null,
    True: true,
    False: false,
    None: null,
    raise_exception: (message: unknown) => {
      throw new TemplateError(
        'chatTemplate',
        `the template refused: ${String(message).slice(0, 500)}`,
      )
    },
    range,
    strftime_now: (format: unknown) => strftime(String(format).slice(0, 256), new Date()),
  }
}

function range(first: unknown, stop?: unknown, step: unknown = 1): number[] {
  const [from, to] = stop === undefined ? [0, first] : [first, stop]
  if (![from, to, step].every((n) => Number.isSafeInteger(n))) {
    throw new TemplateError('chatTemplate', 'range() takes integers.')
  }
  const count = Math.ceil((Number(to) - Number(from)) / Number(step))
  if (step === 0 || count > MAX_ITEMS) {
    throw new TemplateError(
      'chatTemplate',
      `range() of ${count} items; at most ${MAX_ITEMS} are made.`,
    )
  }
  return Array.from({ length: Math.max(0, count) }, (_, i) => Number(from) + i * Number(step))
}

const MONTHS = [
  ...['January', 'February', 'March', 'April', 'May', 'June', 'July'],
  ...['August', 'September', 'October', 'November', 'December'],
]

/** Python's strftime, the letters that chat templates use. */
function strftime(format: string, date: Date): string {
  const two = (n: number): string => String(n).padStart(2, '0')
  const month = MONTHS[date.getMonth()]!
  const parts: Record<string, string> = {
    Y: String(date.getFullYear()),
    m: two(date.getMonth() + 1),
    d: two(date.getDate()),
    H: two(date.getHours()),
    M: two(date.getMinutes()),
    S: two(date.getSeconds()),
    B: month,
    b: month.slice(0, 3),
    '%': '%',
  }
  return format.replace(/%([YmdHMSBb%])/g, (_, letter: string) => parts[letter]!)
}

class LimitedInterpreter extends Interpreter {
  private steps = 0
  private depth = 0
  private spent = 0

  constructor(
    environment: Scope,
    private readonly limits: Required<TemplateLimits>,
  ) {
    super(environment)
  }

  override evaluate(node: Node | undefined, environment: Scope): Value | undefined {
    if (++this.steps > this.limits.steps) over('steps', this.limits.steps)
    if (++this.depth > this.limits.depth) over('nested nodes', this.limits.depth)
    try {
      if (node !== undefined) this.checkFilter(node as FilterNode, environment)
      const value = super.evaluate(node, environment)
      // Filters such as `first` give undefined for an empty list.
      if (value !== undefined && node !== undefined) this.checkValue(value, node.type)
      return value
    } finally {
      this.depth-- // `continue` and `break` leave by an exception
    }
  }

  /** `indent` is the one filter whose work is a number that the template names. */
  private checkFilter(node: FilterNode, environment: Scope): void {
    if (node.type !== 'FilterExpression' && node.type !== 'FilterStatement') return
    if (node.filter?.type !== 'CallExpression') return
    const name = node.filter.callee?.value
    if (name !== 'indent' && name !== 'tojson') return
    for (const argument of node.filter.args ?? []) {
      // name=value, *list and **map carry their expression inside.
      const inside =
        argument.type === 'KeywordArgumentExpression' ? argument.value : argument.argument
      const given = this.evaluate((inside ?? argument) as Node, environment)?.value
      const list = given instanceof Map ? [...given.values()] : Array.isArray(given) ? given : []
      const numbers: unknown[] = [given, ...list.map((item: Value) => item.value)]
      if (numbers.some((n) => typeof n === 'number' && n > MAX_INDENT)) {
        over('blanks of indent', MAX_INDENT)
      }
    }
  }

  private checkValue(value: Value, made: string): void {
    const inner: unknown = value.value
    if (typeof inner === 'string') {
      if (inner.length > this.limits.output) over('characters', this.limits.output)
      this.spent += inner.length
      // Reading a long message a few times is fair; a loop that copies it for ever is not.
      if (this.spent > 64 * this.limits.output) over('characters copied', 64 * this.limits.output)
    } else if (typeof inner === 'object' && inner !== null) {
      if (Array.isArray(inner) && inner.length > MAX_ITEMS) over('items', MAX_ITEMS)
      // A value that is only read was weighed when it was made.
      if (made !== 'Identifier' && made !== 'MemberExpression') {
        this.steps += weigh(value, MAX_ITEMS, MAX_VALUE_DEPTH)
      }
    }
  }
}

interface FilterNode {
  readonly type: string
  readonly filter?: {
    readonly type: string
    readonly callee?: { readonly value?: unknown }
    readonly args?: readonly {
      readonly type: string
      readonly value?: unknown
      readonly argument?: unknown
    }[]
  }
}

/** Nodes of a value as tojson would write it: `[a, a]` of `[a, a]` doubles with each level. */
function weigh(value: Value, budget: number, depth: number): number {
  const inner: unknown = value.value
  if (typeof inner !== 'object' || inner === null) return 1
  if (depth === 0) over('levels of a value', MAX_VALUE_DEPTH)
  let total = 1
  for (const child of (Array.isArray(inner)
    ? inner
    : (inner as Map<string, Value>).values()) as Iterable<Value>) {
    total += weigh(child, budget - total, depth - 1)
    if (total > budget) over('nodes of a value', MAX_ITEMS)
  }
  return total
}

function over(what: string, limit: number): never {
  throw new TemplateError('chatTemplate', `the template went over the limit of ${limit} ${what}.`)
}

// A vm script is the one way to stop synchronous JavaScript from within its own thread; the code it calls is ours.
let timer: { readonly context: Context; readonly script: Script } | undefined

/** Runs `work` under the time limit; everything it throws becomes a TemplateError. */
function limited<T>(what: string, milliseconds: number, work: () => T): T {
  if (milliseconds === Number.POSITIVE_INFINITY) return explained(what, milliseconds, work)
  timer ??= { context: createContext({ work: undefined }), script: new Script('work()') }
  const { context, script } = timer
  const outer: unknown = context.work
  context.work = work
  try {
    return explained(
      what,
      milliseconds,
      () => script.runInContext(context, { timeout: milliseconds }) as T,
    )
  } finally {
    context.work = outer
  }
}

function explained<T>(what: string, milliseconds: number, work: () => T): T {
  try {
    return work()
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
