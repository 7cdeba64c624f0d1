// Ctrl-C as an AbortSignal.

/**
 * Aborts at the first SIGINT or SIGTERM, so that a run can finish its step and save; a second one ends the process.
 * @param onAbort called at the first, to tell the user
 */
export function interruptSignal(onAbort?: () => void): AbortSignal & { release(): void } {
  const controller = new AbortController()
  const handle = (signal: NodeJS.Signals): void => {
    if (controller.signal.aborted) process.exit(signal === 'SIGINT' ? 130 : 143)
    controller.abort(signal)
    onAbort?.()
  }
  process.on('SIGINT', handle)
  process.on('SIGTERM', handle)
  return Object.assign(controller.signal, {
    /** Gives Ctrl-C its usual meaning back. */
    release(): void {
      process.off('SIGINT', handle)
      process.off('SIGTERM', handle)
    },
  })
}
