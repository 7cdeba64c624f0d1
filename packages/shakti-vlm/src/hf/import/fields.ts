// Reading a config.json of another model: each field is taken, must have the one value that our modules compute, or is known
// to change nothing. A field of which none is said is refused, for it may stand for a computation that we do not have.
import { FileFormatError } from '@shakti/tensor'

/** Fields that say nothing about the values that a forward pass gives. */
const harmless = new Set([
  '_attn_implementation_autoset',
  '_name_or_path',
  'architectures',
  'attention_dropout',
  'auto_map',
  'bos_token_id',
  'dropout',
  'drop_path_rate',
  'dtype',
  'eos_token_id',
  'hidden_dropout_prob',
  'initializer_factor',
  'initializer_range',
  'layer_scale_init_value',
  'model_type',
  'output_attentions',
  'output_hidden_states',
  'pad_token_id',
  'pretraining_tp',
  'projection_dropout',
  'return_dict',
  'torch_dtype',
  'transformers_version',
  'use_bfloat16',
  'use_cache',
  'use_flash_attn',
])

// Of generation and of tasks: transformers 4 wrote them into the configs of a container's parts.
const ofEveryConfig = `add_cross_attention attn_implementation bad_words_ids begin_suppress_tokens chunk_size_feed_forward
  cross_attention_hidden_size decoder_start_token_id diversity_penalty do_sample early_stopping encoder_no_repeat_ngram_size
  exponential_decay_length_penalty finetuning_task forced_bos_token_id forced_eos_token_id id2label is_decoder is_encoder_decoder
  label2id length_penalty max_length min_length no_repeat_ngram_size num_beam_groups num_beams num_return_sequences output_scores
  prefix problem_type pruned_heads remove_invalid_values repetition_penalty return_dict_in_generate sep_token_id suppress_tokens
  task_specific_params temperature tf_legacy_loss tie_encoder_decoder tie_word_embeddings tokenizer_class top_k top_p torchscript
  typical_p`
for (const field of ofEveryConfig.split(/\s+/)) harmless.add(field)

export class ConfigFields {
  readonly #read = new Set<string>()

  /**
   * @param file for errors
   * @param at where the fields stand in it, as 'text_config.'
   */
  constructor(
    readonly json: Readonly<Record<string, unknown>>,
    readonly file: string,
    readonly at = '',
  ) {}

  fail(field: string, message: string): never {
    throw new FileFormatError(this.file, this.at + field, message)
  }

  /** A field without a default. @throws FileFormatError when it is missing or null */
  need(field: string): unknown {
    return this.take(field) ?? this.fail(field, 'is missing')
  }

  /** A field's value; `fallback` where it is missing or null. */
  take(field: string, fallback?: unknown): unknown {
    this.#read.add(field)
    return this.json[field] ?? fallback
  }

  /** As `take` where null means something: `fallback` only where the field is missing. */
  takeNullable(field: string, fallback: unknown): unknown {
    this.#read.add(field)
    return this.json[field] === undefined ? fallback : this.json[field]
  }

  /** @throws FileFormatError when the field is there with another value */
  must(field: string, value: unknown, why: string): void {
    const found = this.take(field, value)
    if (found !== value)
      this.fail(
        field,
        `is ${JSON.stringify(found)}; only ${JSON.stringify(value)} can be imported: ${why}`,
      )
  }

  /** @throws FileFormatError naming a field that was not taken */
  finish(ignore: readonly string[] = []): void {
    for (const [field, value] of Object.entries(this.json)) {
      if (this.#read.has(field) || harmless.has(field) || ignore.includes(field)) continue
      if (value === null) continue
      this.fail(
        field,
        `is not a field that the import knows. If it changes nothing, name it in { ignoreFields: ['${field}'] }`,
      )
    }
  }
}
