// Nothing in JavaScript itself stops code that runs. Between its steps a template looks at the clock; a platform that
// can also stop what happens within a step (Node's vm) puts its way to do so here.

export type RunFor = <T>(milliseconds: number, work: () => T) => T

let runFor: RunFor = (_, work) => work()

/** Runs `work`, stopping it after the time given where the platform can. */
export function withinTime<T>(milliseconds: number, work: () => T): T {
  return milliseconds === Number.POSITIVE_INFINITY ? work() : runFor(milliseconds, work)
}

export function setRunFor(run: RunFor): void {
  runFor = run
}
