import type { RunState } from '../src/index.js'

/** What a checkpoint of the stage 'text' says about its run. */
export const runState = (step: number, change: Partial<RunState> = {}): RunState => ({
  stage: 'text',
  step,
  final: false,
  settings: {},
  optimizerSteps: step,
  rng: { seed: 1, offset: 2 },
  history: { every: 1, points: [], recent: [], byKind: {} },
  tokens: 0,
  seconds: 0,
  evaluations: [],
  warnings: [],
  frozen: null,
  textLoss: null,
  ...change,
})
