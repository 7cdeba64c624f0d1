// A vm script is the one way to stop synchronous JavaScript from within its own thread; the code it calls is ours.

import { createContext, Script } from 'node:vm'
import type { Context } from 'node:vm'
import { setRunFor } from '../chat/time-limit.js'

let timer: { readonly context: Context; readonly script: Script } | undefined

/** Lets chat templates be stopped wherever they are. */
export function installTimeLimit(): void {
  setRunFor(<T>(milliseconds: number, work: () => T): T => {
    timer ??= { context: createContext({ work: undefined }), script: new Script('work()') }
    const { context, script } = timer
    const outer: unknown = context.work
    context.work = work
    try {
      return script.runInContext(context, { timeout: milliseconds }) as T
    } finally {
      context.work = outer
    }
  })
}
