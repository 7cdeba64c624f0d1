// @huggingface/jinja as we use it. Its declarations import without file endings and so come to nothing under NodeNext.

import * as jinja from '@huggingface/jinja'

export interface Node {
  readonly type: string
}

/** Values are plain wrappers and Maps, so that a template reaches no JavaScript object. */
export interface Value {
  readonly type: string
  value: unknown
}

export interface Scope {
  set(name: string, value: unknown): unknown
}

export interface FilterNode extends Node {
  /** The name of a bare filter. */
  readonly value?: unknown
  /** Name and arguments of one that is called. */
  readonly callee?: { readonly value?: unknown }
  readonly args?: readonly Node[]
}

interface Runner {
  run(program: Node): Value
  evaluate(node: Node | undefined, scope: Scope): Value | undefined
  evaluateArguments(args: readonly Node[], scope: Scope): [Value[], Map<string, Value>]
  applyFilter(operand: Value, filter: FilterNode, scope: Scope): Value
}

export const { Environment, Interpreter, parse, tokenize } = jinja as unknown as {
  readonly Environment: new () => Scope
  readonly Interpreter: new (scope: Scope) => Runner
  readonly parse: (tokens: unknown) => Node
  readonly tokenize: (
    source: string,
    options: { lstrip_blocks: boolean; trim_blocks: boolean },
  ) => unknown
}
