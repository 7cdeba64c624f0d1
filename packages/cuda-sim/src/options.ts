// The simulator's settings. They reach it through the environment, since it is loaded by programs that don't know it.

export interface SimulatorOptions {
  /** Compute capability whose limits hold: 80, 86, 89, 90 (default), 100 or 120 */
  arch?: number
  /** Number of devices, 0 to 16; default 1 */
  devices?: number
  /** Bytes of memory of each device; default 2 GiB */
  memory?: number
  /** What fresh memory holds: bytes 0xCB (`garbage`, the default), NaN, or zeros */
  fill?: 'garbage' | 'nan' | 'zero'
  /** Order of warps and blocks; default `in-order` */
  schedule?: 'in-order' | 'reversed' | 'random-warps' | 'random-blocks'
  /** When streams run: as late as they may (`lazy`, the default), at the call, or as the seed decides */
  streams?: 'lazy' | 'eager' | 'random'
  /** Seed of the random schedules; default 1 */
  seed?: number
  /** When the data of `cp.async` arrives; default `late` */
  copies?: 'late' | 'early'
  /** How a tensor core rounds its sums; default `exact` */
  products?: 'exact' | 'truncate' | 'chunked'
  /** Where in the manual's error bound approximate functions lie; default `nearest` */
  approximations?: 'nearest' | 'low' | 'high'
  /** Whether races are looked for; default true */
  races?: boolean
  /** Whether reading memory that nobody wrote is a fault; default true */
  uninitialised?: boolean
  /** Thread instructions that one launch may take */
  maxInstructions?: number
  /** Threads that run a grid */
  threads?: number
  /** A file that faults, refused modules and counters are appended to, as JSON lines (see `readReport`) */
  report?: string
  /** Counters in the report: summed by kernel at exit, or of every launch too */
  counters?: boolean | 'launches'
  /** Says at exit what was not freed */
  leaks?: boolean
  /** Says why a call was refused */
  verbose?: boolean
  /** The driver version that is reported, as 13000 for 13.0 (the default) */
  driverVersion?: number
}

const names: Record<keyof SimulatorOptions, string> = {
  arch: 'ARCH',
  devices: 'DEVICES',
  memory: 'MEMORY',
  fill: 'FILL',
  schedule: 'SCHEDULE',
  streams: 'STREAMS',
  seed: 'SEED',
  copies: 'COPIES',
  products: 'PRODUCTS',
  approximations: 'APPROXIMATIONS',
  races: 'RACES',
  uninitialised: 'UNINITIALISED',
  maxInstructions: 'MAX_INSTRUCTIONS',
  threads: 'THREADS',
  report: 'REPORT',
  counters: 'COUNTERS',
  leaks: 'LEAKS',
  verbose: 'VERBOSE',
  driverVersion: 'DRIVER_VERSION',
}

/** The environment variables (`SHAKTI_SIM_*`) that say the same as the options; those left out keep their defaults. */
export function simulatorEnvironment(options: SimulatorOptions): Record<string, string> {
  const environment: Record<string, string> = {}
  for (const [key, name] of Object.entries(names) as [keyof SimulatorOptions, string][]) {
    const value = options[key]
    if (value === undefined) continue
    environment[`SHAKTI_SIM_${name}`] =
      typeof value === 'boolean' ? (value ? '1' : '0') : String(value)
  }
  return environment
}
