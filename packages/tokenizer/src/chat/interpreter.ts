// Runs a parsed template under limits of steps, nesting, sizes and time.

import { TemplateError } from '../errors.js'
import { Interpreter } from './jinja.js'
import type { FilterNode, Node, Scope, Value } from './jinja.js'
import { MAX_INDENT, MAX_ITEMS, MAX_VALUE_DEPTH, over } from './limits.js'
import type { TemplateLimits } from './limits.js'

export class LimitedInterpreter extends Interpreter {
  private steps = 0
  private depth = 0
  private spent = 0
  /** The value evaluated last: when a member has been looked up, the object that it is a member of. */
  private last: Value | undefined
  private readonly deadline: number

  constructor(
    environment: Scope,
    private readonly limits: Required<TemplateLimits>,
  ) {
    super(environment)
    this.deadline = performance.now() + limits.milliseconds
  }

  override evaluate(node: Node | undefined, environment: Scope): Value | undefined {
    if (++this.steps > this.limits.steps) over('steps', this.limits.steps)
    if (++this.depth > this.limits.depth) over('nested nodes', this.limits.depth)
    if ((this.steps & 0xff) === 0 && performance.now() > this.deadline) {
      throw new TemplateError(
        'chatTemplate',
        `the template took more than ${this.limits.milliseconds} ms.`,
      )
    }
    try {
      const value = super.evaluate(node, environment)
      // Filters such as `first` give undefined for an empty list.
      if (value !== undefined && node !== undefined) this.check(value, node)
      this.last = value
      return value
    } finally {
      this.depth-- // `continue` and `break` leave by an exception
    }
  }

  private check(value: Value, node: Node): void {
    const inner = value.value
    if (typeof inner === 'string') this.checkText(inner.length)
    else if (typeof inner === 'function') this.checkFunction(value, node as MemberNode)
    else if (typeof inner === 'object' && inner !== null) {
      if (Array.isArray(inner) && inner.length > MAX_ITEMS) over('items', MAX_ITEMS)
      // A value that is only read was weighed when it was made.
      if (node.type !== 'Identifier' && node.type !== 'MemberExpression') {
        this.steps += new Scale(this.limits).weigh(value, MAX_VALUE_DEPTH)
      }
    }
  }

  private checkText(length: number): void {
    const { output } = this.limits
    if (length > output) over('characters', output)
    this.spent += length
    // Reading a long message a few times is fair; a loop that copies it for ever is not.
    if (this.spent > 64 * output) over('characters copied', 64 * output)
  }

  private checkFunction(value: Value, node: MemberNode): void {
    const call = value.value as Callable
    // Printed, a function is nothing, and not its source.
    if (!Object.hasOwn(call, 'toString'))
      Object.defineProperty(call, 'toString', { value: nothing })
    if (node.type !== 'MemberExpression') return
    if (node.computed === true) {
      throw new TemplateError('chatTemplate', 'the template calls a method by a computed name.')
    }
    const text = this.last?.value
    if (node.property?.value !== 'replace' || typeof text !== 'string') return
    value.value = Object.defineProperty(
      (args: Value[], scope: Scope) => {
        this.checkReplace(text, args)
        return call(args, scope)
      },
      'toString',
      { value: nothing },
    )
  }

  private checkReplace(text: string, args: readonly Value[]): void {
    const [from, to] = args.map((argument) => argument.value)
    if (typeof from !== 'string' || typeof to !== 'string') return
    let count = 0
    if (from === '') count = text.length + 1
    else
      for (let at = text.indexOf(from); at >= 0; at = text.indexOf(from, at + from.length)) count++
    this.checkText(text.length + count * Math.max(0, to.length - from.length))
  }

  /** Filters whose work is a number that the template names, or a product of two sizes, are weighed before. */
  override applyFilter(operand: Value, filter: FilterNode, scope: Scope): Value {
    const name = filter.callee?.value
    if (filter.args !== undefined && WEIGHED.has(name)) {
      const [args, named] = this.evaluateArguments(filter.args, scope)
      const all = [...args, ...named.values()]
      if (name === 'replace' && typeof operand.value === 'string') {
        this.checkReplace(operand.value, args)
      } else if (name === 'join') {
        const { length = 0 } = operand.value as { length?: number }
        const separator = (args[0] ?? named.get('separator'))?.value
        this.checkText(typeof separator === 'string' ? separator.length * length : 0)
      } else if (all.some(({ value }) => typeof value === 'number' && value > MAX_INDENT)) {
        over('blanks of indent', MAX_INDENT)
      }
    }
    return super.applyFilter(operand, filter, scope)
  }
}

type Callable = (args: Value[], scope: Scope) => Value

interface MemberNode extends Node {
  readonly computed?: boolean
  readonly property?: { readonly value?: unknown }
}

const nothing = (): string => ''
const WEIGHED: ReadonlySet<unknown> = new Set(['indent', 'tojson', 'join', 'replace'])

/** Weighs a value as tojson would write it: `[a, a]` of `[a, a]` doubles with each level. */
class Scale {
  private nodes = 0
  private characters = 0

  constructor(private readonly limits: Required<TemplateLimits>) {}

  /** Nodes of the value. */
  weigh(value: Value, depth: number): number {
    if (++this.nodes > MAX_ITEMS) over('nodes of a value', MAX_ITEMS)
    const inner = value.value
    if (typeof inner === 'string') {
      this.characters += inner.length
      const most = 2 * this.limits.output
      if (this.characters > most) over('characters of a value', most)
    } else if (typeof inner === 'object' && inner !== null) {
      if (depth === 0) over('levels of a value', MAX_VALUE_DEPTH)
      const children = Array.isArray(inner) ? inner : (inner as Map<string, unknown>).values()
      for (const child of children as Iterable<Value>) this.weigh(child, depth - 1)
    }
    return this.nodes
  }
}
