// @shakti/trainer: training in stages.
export type * from './types.js'
export { run, type RunOptions } from './run.js'
export { evaluate, type Evaluation } from './evaluate.js'
export { accumulate, placedLoss, trainStep, type StepInputs, type StepOutput } from './step.js'
export { constant, cosine, linear, wsd, type Schedule, type WarmUp } from './schedule.js'
export { AdamW, type AdamWSettings, type Optimizer, type ParameterGroup } from './adamw.js'
export { isHiddenMatrix, Muon, orthogonalise, type MuonSettings } from './muon.js'
export { decays, matches, parameterGroups, select, type Selection } from './patterns.js'
export { causal, type CausalOptions } from './causal.js'
export {
  collatePreferences,
  dpo,
  dpoLosses,
  sequenceLogProbs,
  withReference,
  type DpoOptions,
  type DpoVariant,
  type Preference,
  type PreferenceBatch,
} from './dpo.js'
export {
  collate,
  ignoreIndex,
  pack,
  supervised,
  supervisedPositions,
  truncate,
  type Sample,
  type Span,
  type TokenBatch,
} from './samples.js'
export { batches, generated, mixed, packed, type BatchOptions, type PackOptions } from './data.js'
export { random, shuffle } from './random.js'
export {
  FolderCheckpointer,
  type Checkpoint,
  type Checkpointer,
  type FolderCheckpointerOptions,
  type RunState,
} from './checkpoint.js'
export { alignmentProbe, type AlignmentProbe } from './probe.js'
export { tsne, type TsneOptions } from './tsne.js'
export { hashTensors } from './freeze.js'
export { NonFiniteError } from './diagnose.js'
export { combineLoggers, JsonlLogger, type Logger, type LogRecord } from './log.js'
export { TensorBoardLogger } from './tensorboard.js'
export { createProgress, type Progress, type ProgressState } from './progress.js'
export { interruptSignal } from './interrupt.js'
export {
  flatCurve,
  languageLoss,
  lossSpike,
  unigramEntropy,
  weakDecoder,
  type LanguageFacts,
} from './signatures.js'
