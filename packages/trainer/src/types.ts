// The few things that the trainer asks of a model, a loss and a source of data. Models and tokenizers are known by these
// alone; nothing here names one.
import type { Tensor } from '@shakti/tensor'
import type { Schedule } from './schedule.js'

/** What can be trained. Every `Module` of @shakti/nn is one. */
export interface TrainableModel {
  /** Each parameter once, under its path in the model (`vision.blocks.3.attn.qProj.weight`). */
  namedParameters(): Iterable<readonly [string, Tensor]>
  train?(on?: boolean): unknown
  eval?(): unknown
  /** Whether dropout is on; what has to turn it off puts it back. Without it, a model counts as in training. */
  readonly training?: boolean
  /** Set by a stage with `activationCheckpointing`; the model recomputes its blocks in the backward pass. */
  activationCheckpointing?: boolean
  /** The bf16 copy of a parameter that the forward pass reads, if it has one; AdamW writes it beside the f32 master. */
  workingCopy?(name: string): Tensor | undefined
}

/** What a loss gives for one micro-batch. Sums, not means: the step divides by the count of the whole batch. */
export interface LossTerms {
  /** One number on the tape. */
  sum: Tensor
  /** Sums to be logged, divided by the same count. No gradient flows through them. */
  metrics?: Readonly<Record<string, Tensor>>
}

export interface Loss<M, B> {
  readonly name: string
  /** How many items (supervised tokens, pairs) the sum runs over. From the batch's host data, so nothing waits. */
  count(batch: B): number
  /** Tokens that the model reads, for tokens/s. Default: count. */
  tokens?(batch: B): number
  terms(model: M, batch: B): LossTerms
  /** The same in two halves, if the loss can be part of a captured step; see `placedLoss`. */
  readonly placed?: PlacedTerms<M, B, unknown>
}

/**
 * A loss's terms in two halves: all that varies from batch to batch is brought to the device by the first, and the second
 * sees nothing else. So the second can be recorded for one batch and replayed for another.
 */
export interface PlacedTerms<M, B, P> {
  /**
   * Tensors that nothing else holds, numbers, strings and booleans, in lists and plain objects. All but the elements of
   * the tensors belongs to the batch's shape: steps are captured for each shape.
   */
  place(model: M, batch: B): P
  /** Must not read anything else that changes while a stage runs. */
  terms(model: M, placed: P): LossTerms
}

/** Batches as a function of the step alone, so that a run resumes anywhere: the cursor is the step (and the seed). */
export interface DataSource<B> {
  /**
   * The micro-batches of optimiser step `step`, counted from 0. Called ahead of time, while the step before runs; must
   * not draw from the random numbers of @shakti/tensor, or a resumed run would differ.
   */
  batch(step: number): readonly B[] | Promise<readonly B[]>
  /** Steps of one pass over the data; undefined when it never repeats. */
  readonly stepsPerEpoch?: number
  /** What sort of data a step brings, where there are several: a loss is compared with earlier ones of its kind. */
  kind?(step: number): string
}

/** Which of the paper's failure signatures to look for at the end of a stage (signatures.ts). */
export type StageCheck =
  /** Stage 1: the final loss against what the tokenizer and the text make possible. */
  | { kind: 'language'; unigram: number; bytesPerToken: number }
  /** Stage 2: the curve must not be flat. */
  | { kind: 'alignment' }
  /** Stage 3: the loss on text alone, measured by `textLoss` before and after, must not rise by more than 5 %. */
  | { kind: 'keepsLanguage'; textLoss: () => Promise<number> }

/** A training stage: data, not a subclass. */
export interface Stage<M extends TrainableModel, B> {
  /** Letters, digits, `.`, `_` and `-`; names checkpoints and log entries. */
  name: string
  /** Patterns of the parameters to train; `*` stands for anything. Default: all. */
  train?: readonly string[]
  /** Patterns that stay as they are, also where `train` names them; verified bit for bit at the end. Default: none. */
  freeze?: readonly string[]
  /** Peak learning rate, or one for each pattern; the first that fits a parameter counts. */
  lr: number | Readonly<Record<string, number>>
  /** Factor on the learning rate. Default: constant(). */
  schedule?: Schedule
  data: DataSource<B>
  steps: number
  loss: Loss<M, B>
  /** Default 0. Never on norms, biases, position tables and other parameters of less than two dimensions. */
  weightDecay?: number
  /** Default [0.9, 0.95] (PAPER.md 6.8). */
  betas?: readonly [number, number]
  /** Default 1e-8. */
  eps?: number
  /** Largest length of the whole gradient; Infinity for no limit. Default 1. */
  clip?: number
  /** Recompute activations in the backward pass. Default false. */
  activationCheckpointing?: boolean
  /** Default: none. */
  check?: StageCheck
}

/** A point of the curves: the mean loss of a step, and what else was measured there. */
export interface Point {
  step: number
  loss: number
  lr: number
  gradNorm: number
  [metric: string]: number
}

export interface Warning {
  /** Short and stable, for programs. */
  code: string
  /** What was seen, the limit, and what to look at. */
  message: string
}

export interface FrozenCheck {
  parameters: number
  /** SHA-256 over names and elements, the same before and after. */
  hash: string
}

export interface StageResult {
  stage: string
  /** `interrupted`: the signal came, the step was finished and saved. */
  status: 'done' | 'interrupted'
  /** Steps done, in all runs of this stage. */
  step: number
  steps: number
  /** Mean over the last 5 % of the steps (at least 1, at most 50). */
  finalLoss: number
  /** At most 2,000 points, evenly thinned. */
  history: Point[]
  tokens: number
  /** Training time of all runs of this stage. */
  seconds: number
  /** Undefined when the stage froze nothing, or was interrupted. */
  frozen: FrozenCheck | undefined
  /** Of a stage that checks 'keepsLanguage'; `after` is missing when it was interrupted. */
  textLoss: { before: number; after?: number } | undefined
  /** What `evaluate` measured on the way. */
  evaluations: { step: number; [metric: string]: number }[]
  warnings: Warning[]
  /** The step this run started from; equal to `steps` when the stage was found finished. */
  resumedFrom: number
  /** Steps of this run that were replayed from captures, and why none were where that is so. */
  replayed: { steps: number; refused?: string }
}
