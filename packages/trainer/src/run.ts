// One stage from its start, or from its last checkpoint, to its end. The loop never waits for the step it has just
// issued: it prepares the next batch, reads the numbers of the step before, and so keeps the stream full.
import {
  getRngState,
  keep,
  noGrad,
  setRngState,
  ShaktiError,
  zeros,
  type RngState,
  type Tensor,
} from '@shakti/tensor'
import { AdamW, copyInto, type Optimizer, type ParameterGroup } from './adamw.js'
import { checkStageName, type Checkpoint, type Checkpointer, type RunState } from './checkpoint.js'
import { deviceOf } from './device.js'
import { diagnose } from './diagnose.js'
import { freeze, hashTensors } from './freeze.js'
import { History } from './history.js'
import type { Logger } from './log.js'
import { parameterGroups, select, type Selection } from './patterns.js'
import { createProgress, type Progress } from './progress.js'
import { constant } from './schedule.js'
import { flatCurve, languageLoss, lossSpike, weakDecoder } from './signatures.js'
import { Replays } from './replay.js'
import { clearGradients, trainStep, type StepInputs, type StepOutput } from './step.js'
import type { Point, Stage, StageResult, TrainableModel, Warning } from './types.js'

export interface RunOptions<M extends TrainableModel> {
  model: M
  /** Default: AdamW with the stage's betas and eps. */
  optimizer?: (groups: readonly ParameterGroup[]) => Optimizer
  /** Where checkpoints go, and where the stage resumes from. Default: none are made. */
  checkpointer?: Checkpointer
  /** Steps between checkpoints; default 200. One is made at the end and on interruption in any case. */
  saveEvery?: number
  logger?: Logger
  /** Default: a bar on a terminal, a line every ten seconds elsewhere. */
  progress?: Progress
  /** No progress at all. Default false. */
  quiet?: boolean
  /**
   * Whether steps are recorded and replayed, without JavaScript for each op and with the same numbers. 'auto' (default): the
   * step of a batch shape that comes again among the last 16 shapes is captured, and replayed from then on. The recordings
   * keep the memory of a step, which they share, and never more than a quarter of what the device has.
   * Needs a loss with `place` (`causal`, `dpo`, `placedLoss`) and a `capturable` optimiser; where a step cannot be captured,
   * a note says why and steps run as they are called. true: that is an error. false: nothing is captured. Meanwhile the
   * model may be changed in place alone.
   */
  capture?: 'auto' | boolean
  /** When it aborts, the step is finished and saved, and the result says `interrupted`. */
  signal?: AbortSignal
  /** Measures something every so many steps; its numbers go to the log and the result. */
  evaluate?: { every: number; metrics: () => Promise<Record<string, number>> }
  onWarning?: (warning: Warning) => void
}

interface Issued<B> {
  output: StepOutput
  values: Promise<ArrayLike<number>>
  batches: readonly B[]
  rng: RngState
  step: number
  lrFactor: number
}

/** What has to be the same for a checkpoint to be gone on with. The schedule is a function: five of its values stand for it. */
function settingsOf<M extends TrainableModel, B>(stage: Stage<M, B>): Record<string, unknown> {
  const {
    steps,
    lr,
    weightDecay = 0,
    betas = [0.9, 0.95],
    eps = 1e-8,
    clip = 1,
    schedule = constant(),
  } = stage
  const probes = [0, 0.25, 0.5, 0.75, 1].map((t) => schedule(Math.floor(t * (steps - 1)), steps))
  const limit = Number.isFinite(clip) ? clip : 'none'
  return {
    loss: stage.loss.name,
    steps,
    lr,
    weightDecay,
    betas,
    eps,
    clip: limit,
    train: stage.train ?? ['*'],
    freeze: stage.freeze ?? [],
    schedule: probes,
    // Batches are a function of the step: another batch size or number of samples would be other batches.
    stepsPerEpoch: stage.data.stepsPerEpoch ?? 'endless',
  }
}

function checkStage<M extends TrainableModel, B>(
  stage: Stage<M, B>,
  { model, saveEvery = 200, evaluate }: RunOptions<M>,
): void {
  checkStageName(stage.name)
  const { steps, clip = 1 } = stage
  const where = `stage ${stage.name}`
  if (!Number.isInteger(steps) || steps < 1)
    throw new ShaktiError(where, `steps is ${steps}. It must be an integer from 1.`)
  for (const [name, value] of [
    ['saveEvery', saveEvery],
    ['evaluate.every', evaluate?.every ?? 1],
  ] as const) {
    if (!Number.isInteger(value) || value < 1)
      throw new ShaktiError(where, `${name} is ${value}. It must be an integer from 1.`)
  }
  if (!(clip > 0))
    throw new ShaktiError(where, `clip is ${clip}. It must be above 0, Infinity for no clipping.`)
  if (stage.activationCheckpointing && !('activationCheckpointing' in model)) {
    throw new ShaktiError(
      where,
      'asks for activationCheckpointing, but the model has no such property.',
    )
  }
}

function checkSettings(
  stage: string,
  saved: Record<string, unknown>,
  now: Record<string, unknown>,
): void {
  const different = Object.keys({ ...saved, ...now }).filter(
    (k) => JSON.stringify(saved[k]) !== JSON.stringify(now[k]),
  )
  if (different.length === 0) return
  const list = different
    .map((k) => `${k} was ${JSON.stringify(saved[k])}, is ${JSON.stringify(now[k])}`)
    .join('; ')
  throw new ShaktiError(
    `stage ${stage}`,
    `the checkpoint was made with other settings: ${list}. Restore them, or remove the checkpoints to start anew.`,
  )
}

function restoreModel(model: TrainableModel, checkpoint: Checkpoint): void {
  const named = [...model.namedParameters()]
  noGrad(() => {
    copyInto('model', Object.fromEntries(named), checkpoint.model)
    for (const [name, p] of named) model.workingCopy?.(name)?.copy_(p)
  })
  for (const t of Object.values(checkpoint.model)) t.dispose()
}

class StageRun<M extends TrainableModel, B> {
  readonly #stage: Stage<M, B>
  readonly #options: RunOptions<M>
  readonly #selection: Selection
  readonly #settings: Record<string, unknown>
  readonly #optimizer: Optimizer
  readonly #progress: Progress
  #history = new History()
  #step = 0
  #resumedFrom = 0
  #tokens = 0
  #seconds = 0
  #sinceStart = { time: 0, tokens: 0, step: 0 }
  #frozen: RunState['frozen'] = null
  #textLoss: RunState['textLoss'] = null
  #warnings: Warning[] = []
  #evaluations: RunState['evaluations'] = []
  /** 0, or NaN when a step was not finite. */
  readonly #guard: Tensor
  #replays: Replays<M, B> | undefined

  constructor(stage: Stage<M, B>, options: RunOptions<M>) {
    checkStage(stage, options)
    this.#stage = stage
    this.#options = options
    this.#guard = keep(zeros([], { device: deviceOf(options.model) }))
    this.#settings = settingsOf(stage)
    this.#selection = select(options.model, stage)
    const groups = parameterGroups(stage, this.#selection.trained, (name) =>
      options.model.workingCopy?.(name),
    )
    const { betas = [0.9, 0.95], eps = 1e-8 } = stage
    this.#optimizer = options.optimizer?.(groups) ?? new AdamW(groups, { betas, eps })
    this.#progress = options.progress ?? createProgress({ quiet: options.quiet ?? false })
  }

  async run(): Promise<StageResult> {
    const { model } = this.#options
    const { trained, frozen } = this.#selection
    const wasCheckpointing = model.activationCheckpointing
    let thaw = (): void => undefined
    try {
      const found = await this.#options.checkpointer?.load(this.#stage.name)
      if (found) {
        this.#resume(found)
        if (found.state.final) return this.#result('done')
      }
      thaw = freeze(frozen)
      for (const [, p] of trained) p.requiresGrad = true
      if (this.#stage.activationCheckpointing) model.activationCheckpointing = true
      model.train?.()
      this.#captureSteps()
      await this.#before()
      const status = await this.#loop()
      if (status === 'done') await this.#after()
      await this.#save(status === 'done')
      return this.#result(status)
    } finally {
      thaw()
      clearGradients(trained.map(([, p]) => p))
      this.#replays?.dispose()
      this.#guard.dispose()
      if (wasCheckpointing !== undefined) model.activationCheckpointing = wasCheckpointing
      this.#progress.stop()
      this.#optimizer.dispose()
    }
  }

  #resume({ state, ...tensors }: Checkpoint): void {
    checkSettings(this.#stage.name, state.settings, this.#settings)
    restoreModel(this.#options.model, { state, ...tensors })
    if (tensors.optimizer) {
      noGrad(() => this.#optimizer.load(tensors.optimizer!, state.optimizerSteps))
      for (const t of Object.values(tensors.optimizer)) t.dispose()
    } else if (!state.final) {
      throw new ShaktiError(
        `stage ${this.#stage.name}`,
        `the checkpoint of step ${state.step} holds no optimiser state.`,
      )
    }
    setRngState(state.rng)
    this.#step = this.#resumedFrom = state.step
    this.#history = new History(state.history)
    this.#tokens = state.tokens
    this.#seconds = state.seconds
    this.#frozen = state.frozen
    this.#textLoss = state.textLoss
    this.#warnings = [...state.warnings]
    this.#evaluations = [...state.evaluations]
  }

  /** What the end is compared with, taken once: a resumed run has it from its checkpoint. */
  async #before(): Promise<void> {
    const { frozen } = this.#selection
    const { check } = this.#stage
    if (frozen.length > 0)
      this.#frozen ??= {
        parameters: frozen.reduce((n, [, t]) => n + t.numel, 0),
        hash: await hashTensors(frozen),
      }
    if (check?.kind === 'keepsLanguage')
      this.#textLoss ??= { before: await this.#apart(check.textLoss) }
  }

  async #loop(): Promise<'done' | 'interrupted'> {
    const { data, steps } = this.#stage
    const { signal, saveEvery = 200, evaluate } = this.#options
    const fetch = (step: number): Promise<readonly B[]> => {
      const batch = Promise.resolve(step < steps ? data.batch(step) : [])
      // Nobody may be left to hear of it when the run ends early.
      batch.catch(() => undefined)
      return batch
    }
    this.#sinceStart = { time: performance.now(), tokens: this.#tokens, step: this.#step }
    let next = fetch(this.#step)
    let previous: Issued<B> | undefined
    while (this.#step < steps && !signal?.aborted) {
      const issued = this.#issue(await next)
      next = fetch(this.#step)
      if (previous) await this.#settle(previous)
      previous = issued
      const due = (every: number): boolean => this.#step % every === 0 && this.#step < steps
      const save = this.#options.checkpointer !== undefined && due(saveEvery)
      const measure = evaluate !== undefined && due(evaluate.every)
      if (!save && !measure) continue
      await this.#settle(previous)
      previous = undefined
      if (measure) await this.#measure(evaluate.metrics)
      if (save) await this.#save(false)
    }
    if (previous) await this.#settle(previous)
    this.#countTime()
    return this.#step < steps ? 'interrupted' : 'done'
  }

  get #settingsOfSteps(): Omit<StepInputs<M, B>, 'batches' | 'lrFactor'> {
    return {
      model: this.#options.model,
      loss: this.#stage.loss,
      parameters: this.#selection.trained.map(([, p]) => p),
      optimizer: this.#optimizer,
      clip: this.#stage.clip ?? 1,
      guard: this.#guard,
    }
  }

  #captureSteps(): void {
    const { capture = 'auto' } = this.#options
    if (capture === false) return
    this.#replays = new Replays(this.#settingsOfSteps, capture === true, (why) =>
      this.#progress.note(`note (${this.#stage.name}): steps are not captured: ${why}`),
    )
  }

  #issue(batches: readonly B[]): Issued<B> {
    const { schedule = constant(), steps } = this.#stage
    const step = this.#step
    const rng = getRngState()
    const lrFactor = schedule(step, steps)
    const output =
      this.#replays?.step(batches, lrFactor) ??
      trainStep({ ...this.#settingsOfSteps, batches, lrFactor })
    this.#step++
    const values = output.values.data()
    values.catch(() => undefined)
    output.values.dispose()
    return { output, values, batches, rng, step, lrFactor }
  }

  /** Takes in what a step measured. */
  async #settle({ output, values, batches, rng, step, lrFactor }: Issued<B>): Promise<void> {
    const { name: stage, loss, lr, steps } = this.#stage
    const [lossValue = NaN, gradNorm = NaN, ...metrics] = Array.from(await values)
    if (!Number.isFinite(lossValue) || !Number.isFinite(gradNorm)) {
      throw await diagnose(this.#options.model, {
        stage,
        step,
        loss,
        batches,
        trained: this.#selection.trained,
        rng,
        lossValue,
        gradNorm,
      })
    }
    const kind = this.#stage.data.kind?.(step)
    const spike = lossSpike(lossValue, this.#history.recentOf(kind))
    if (spike && !this.#warnings.some((w) => w.code === spike.code)) this.#warn(spike)
    this.#tokens += output.tokens
    const peak = typeof lr === 'number' ? lr : Math.max(...Object.values(lr))
    const point: Point = { step, loss: lossValue, lr: peak * lrFactor, gradNorm }
    output.metrics.forEach((metric, i) => (point[metric] = metrics[i]!))
    this.#history.add(point, kind)
    const seconds = (performance.now() - this.#sinceStart.time) / 1000
    const tokensPerSecond = (this.#tokens - this.#sinceStart.tokens) / seconds
    this.#options.logger?.log({ stage, ...point, tokens: this.#tokens, tokensPerSecond })
    this.#progress.update({
      stage,
      step: step + 1,
      steps,
      loss: this.#history.finalLoss(400),
      lr: point.lr,
      tokensPerSecond,
      eta: (seconds / (step + 1 - this.#sinceStart.step)) * (steps - step - 1),
    })
  }

  #warn(warning: Warning): void {
    this.#warnings.push(warning)
    this.#options.logger?.log({
      stage: this.#stage.name,
      step: this.#step,
      event: 'warning',
      ...warning,
    })
    if (this.#options.onWarning) this.#options.onWarning(warning)
    else this.#progress.note(`warning (${this.#stage.name}): ${warning.message}`)
  }

  /** Runs something beside the training, which must not notice. */
  async #apart<T>(fn: () => Promise<T>): Promise<T> {
    const rng = getRngState()
    try {
      return await fn()
    } finally {
      setRngState(rng)
      this.#options.model.train?.()
    }
  }

  async #measure(metrics: () => Promise<Record<string, number>>): Promise<void> {
    const record = { step: this.#step, ...(await this.#apart(metrics)) }
    this.#evaluations.push(record)
    this.#options.logger?.log({ stage: this.#stage.name, ...record })
  }

  /** The checks at the end of a stage: the frozen weights, and the paper's failure signatures. */
  async #after(): Promise<void> {
    const { frozen } = this.#selection
    if (this.#frozen) {
      const now = await hashTensors(frozen)
      if (now !== this.#frozen.hash) {
        throw new ShaktiError(
          `stage ${this.#stage.name}`,
          `changed weights that it froze: their SHA-256 was ${this.#frozen.hash}, is ${now}. Something writes to them outside of the optimiser.`,
        )
      }
    }
    const { check } = this.#stage
    let warning: Warning | undefined
    if (check?.kind === 'language') {
      const parameters = this.#selection.trained.reduce((n, [, p]) => n + p.numel, 0)
      const finalLoss = this.#history.finalLoss(this.#stage.steps)
      warning = weakDecoder({
        finalLoss,
        unigram: check.unigram,
        bytesPerToken: check.bytesPerToken,
        parameters,
        tokens: this.#tokens,
      })
    } else if (check?.kind === 'alignment') {
      warning = flatCurve(this.#history.points.map((p) => p.loss))
    } else if (check?.kind === 'keepsLanguage' && this.#textLoss) {
      const after = await this.#apart(check.textLoss)
      this.#textLoss = { ...this.#textLoss, after }
      warning = languageLoss(this.#textLoss.before, after)
    }
    if (warning) this.#warn(warning)
  }

  #countTime(): void {
    const now = performance.now()
    this.#seconds += (now - this.#sinceStart.time) / 1000
    this.#sinceStart = { time: now, tokens: this.#tokens, step: this.#step }
  }

  async #save(final: boolean): Promise<void> {
    const { checkpointer, model } = this.#options
    if (!checkpointer) return
    this.#countTime()
    await checkpointer.save({
      state: {
        stage: this.#stage.name,
        step: this.#step,
        final,
        settings: this.#settings,
        optimizerSteps: this.#optimizer.steps,
        rng: getRngState(),
        history: this.#history.state(),
        tokens: this.#tokens,
        seconds: this.#seconds,
        evaluations: this.#evaluations,
        warnings: this.#warnings,
        frozen: this.#frozen,
        textLoss: this.#textLoss,
      },
      model: Object.fromEntries(model.namedParameters()),
      ...(final ? {} : { optimizer: this.#optimizer.state() }),
    })
    this.#sinceStart = { time: performance.now(), tokens: this.#tokens, step: this.#step }
  }

  #result(status: StageResult['status']): StageResult {
    return {
      stage: this.#stage.name,
      status,
      step: this.#step,
      steps: this.#stage.steps,
      finalLoss: this.#history.finalLoss(this.#stage.steps),
      history: this.#history.points,
      tokens: this.#tokens,
      seconds: this.#seconds,
      frozen: status === 'done' ? (this.#frozen ?? undefined) : undefined,
      textLoss: this.#textLoss ?? undefined,
      evaluations: this.#evaluations,
      warnings: this.#warnings,
      resumedFrom: this.#resumedFrom,
      replayed: {
        steps: this.#replays?.steps ?? 0,
        ...(this.#replays?.refused === undefined ? {} : { refused: this.#replays.refused }),
      },
    }
  }
}

/**
 * Trains one stage. With a checkpointer it goes on where its last checkpoint ends, losing nothing: the losses that
 * follow are, bit for bit, those of a run that was never stopped. A stage that is found finished only loads its weights.
 * @throws NonFiniteError when loss or gradient are not finite, before the update, naming the first bad module
 * @example
 * const result = await run(
 *   { name: 'align', train: ['vision.*', 'projector.*'], freeze: ['decoder.*'], lr: { 'projector.*': 1e-3, '*': 2e-4 },
 *     schedule: cosine({ warmup: 0.03 }), data, steps: 1000, loss: causal({ hidden: (m, b) => m.forward(b) }) },
 *   { model, checkpointer: new FolderCheckpointer('runs/x/checkpoints'), signal: interruptSignal() },
 * )
 */
export async function run<M extends TrainableModel, B>(
  stage: Stage<M, B>,
  options: RunOptions<M>,
): Promise<StageResult> {
  return new StageRun(stage, options).run()
}
