// Who owns a tensor. Inside a scope (`tidy`) the scope does, and frees at its end what does not leave it; outside, the
// garbage collector does, by a weak handle on the storage. The hot path, a scope, costs one array push.
import { AsyncLocalStorage } from 'node:async_hooks'
import { ShaktiError } from './errors.js'
import type { Tensor } from './tensor.js'

export class Scope {
  readonly tensors: Tensor[] = []
}

let current: Scope | undefined
let asyncScopes: AsyncLocalStorage<Scope> | undefined

function scope(): Scope | undefined {
  return current ?? asyncScopes?.getStore()
}

let ownerless = false

/** Runs `fn`, whose new tensors no scope will own: the caller counts them. The collector remains as a back-stop. */
export function unowned<T>(fn: () => T): T {
  const before = ownerless
  ownerless = true
  try {
    return fn()
  } finally {
    ownerless = before
  }
}

/** Called for every new tensor. */
export function own(t: Tensor): void {
  if (ownerless) return
  const s = scope()
  if (s) s.tensors.push(t)
  else t.storage.guard()
}

function collect(value: unknown, into: Set<unknown>, isTensor: (v: object) => boolean): void {
  if (typeof value !== 'object' || value === null || into.has(value)) return
  into.add(value)
  if (isTensor(value)) return
  if (Array.isArray(value)) for (const v of value) collect(v, into, isTensor)
  else if (Object.getPrototypeOf(value) === Object.prototype) {
    for (const v of Object.values(value)) collect(v, into, isTensor)
  }
}

/** Internal: `keep` for every tensor in a value of the kind that `tidy` returns. */
export function keepIn(value: unknown): void {
  const found = new Set<unknown>()
  collect(value, found, (v) => 'storage' in v)
  for (const v of found) if ('storage' in (v as object)) keep(v as Tensor)
}

function close(s: Scope, parent: Scope | undefined, result: unknown): void {
  if (s.tensors.length === 0) return
  let kept: Set<unknown> | undefined
  if (result !== undefined) collect(result, (kept = new Set()), (v) => 'storage' in v)
  for (const t of s.tensors) {
    if (t.disposed) continue
    if (kept?.has(t)) {
      if (parent) parent.tensors.push(t)
      else t.storage.guard()
    } else if (t.kept) {
      t.storage.guard()
    } else {
      const { storage } = t
      t.dispose()
      // Something else still needs the memory (a tape node, a view that left): the collector takes over.
      if (storage.refs > 0) storage.guardSoon()
    }
  }
}

/** Runs `fn`; on its return every tensor made inside is freed, but for those in what it returns. Internal form. */
export function inScope<T>(fn: () => T): T {
  const parent = current
  const s = (current = new Scope())
  let result: T | undefined
  try {
    return (result = fn())
  } finally {
    current = parent
    close(s, parent ?? asyncScopes?.getStore(), result)
  }
}

/**
 * Runs `fn` and frees every tensor made inside, except those in its return value (a tensor, or lists and plain objects
 * of them) and those passed to `keep`. Gradients stored in `.grad` are kept.
 * @throws when `fn` returns a promise: what happens after an `await` would escape the scope. Use `tidyAsync`.
 */
export function tidy<T>(fn: () => T): T {
  return inScope(() => {
    const result = fn()
    if (result instanceof Promise) {
      result.catch(() => undefined)
      throw new ShaktiError(
        'tidy',
        'the function returned a promise. Use tidyAsync for asynchronous work.',
      )
    }
    return result
  })
}

/** As `tidy`, for a function that awaits. Costs about 100 ns on every `await` of the process once used (Node 20). */
export async function tidyAsync<T>(fn: () => Promise<T>): Promise<T> {
  asyncScopes ??= new AsyncLocalStorage<Scope>()
  const parent = scope()
  const s = new Scope()
  let result: T | undefined
  try {
    return (result = await asyncScopes.run(s, fn))
  } finally {
    close(s, parent, result)
  }
}

/** Takes a tensor out of every scope: it lives until it is disposed or collected. */
export function keep<T extends Tensor>(t: T): T {
  t.kept = true
  return t
}
