export { buildSimulator, programPath, simulatorPath } from './paths.js'
export { simulatorEnvironment, type SimulatorOptions } from './options.js'
export {
  readReport,
  type CounterLine,
  type Counters,
  type FaultReport,
  type KernelReport,
  type LaunchReport,
  type LeakReport,
  type ModuleReport,
  type ReportLine,
} from './report.js'
