"""What every file of a run holds: the one table of columns and keys, from which the code that writes them takes the names.

They are an interface: renaming one breaks users. `docs/reference/results.md` is written from this table.
"""

from collections.abc import Sequence
from typing import NamedTuple

COUNTED = 'counted'  # Exact: clients, examples, and bytes of tensors, each as often as it reaches a client.
MEASURED = 'measured'  # Depends on weights or on the machine.
MODELLED = 'modelled'  # Computed from a graph, or from a payload that did not travel.
GIVEN = 'given'  # What the run was asked for, or is known by.

ROUND = 'round'  # Of this round alone.
SO_FAR = 'cumulative'  # Of all rounds up to this one.
MODEL = 'model'  # Of the model that the round, or the step, left.
WHOLE = 'run'  # Of the run as a whole.
ROW = 'row'  # Of what the row is about.


class Column(NamedTuple):
  """A column of a CSV, or a key of a JSON file.

  Attributes:
    name: Its name in the file.
    unit: What a value is measured in; empty for texts and plain numbers.
    span: What a value is of: `ROUND`, `SO_FAR`, `MODEL`, `WHOLE` or `ROW`.
    source: How it comes about: `COUNTED`, `MEASURED`, `MODELLED` or `GIVEN`.
    meaning: What it says, in one sentence.
  """

  name: str
  unit: str
  span: str
  source: str
  meaning: str


def names(columns: Sequence[Column]) -> tuple[str, ...]:
  """Returns the names of columns, in order."""
  return tuple(column.name for column in columns)


_EVALUATION = (
  Column('eval/loss', 'nats', MODEL, MEASURED, 'Mean cross-entropy of a predicted token or example.'),
  Column('eval/accuracy', 'fraction', MODEL, MEASURED, 'Tokens or examples predicted rightly.'),
  Column('eval/perplexity', '', MODEL, MEASURED, 'e to the power of the loss; language models only.'),
)
_FROZEN = Column(
  'download_bytes_frozen',
  'bytes',
  ROUND,
  COUNTED,
  'The part of download_bytes that is of the base, for clients in their first round: the size of a payload that is encoded once.',
)
ROUNDS = (
  Column('round', '', ROW, GIVEN, 'Number of the round; 0 is the initial model, evaluated only.'),
  Column('num_clients', 'clients', ROUND, COUNTED, 'Clients that received the model, those that vanished included.'),
  Column('num_examples', 'examples', ROUND, COUNTED, 'Examples that clients trained on, each as often as it was seen.'),
  Column('train/loss', 'nats', ROUND, MEASURED, 'Mean loss of the local steps, each before it changes the weights.'),
  *_EVALUATION,
  Column('upload_bytes', 'bytes', ROUND, COUNTED, 'Payloads that all clients sent: values, side information, weights.'),
  Column('download_bytes', 'bytes', ROUND, COUNTED, 'Payloads that all clients received.'),
  _FROZEN,
  Column('upload_bytes_values', 'bytes', ROUND, COUNTED, 'The part of upload_bytes that encoded values take.'),
  Column(
    'upload_bytes_side',
    'bytes',
    ROUND,
    COUNTED,
    'The part of ranges, positions, seeds, keys and presence bitmaps; of a secure sum, of counts.',
  ),
  Column('upload_bytes_weights', 'bytes', ROUND, COUNTED, 'The part of the weight that a weighted mean needs.'),
  Column('upload_bytes_keys', 'bytes', ROUND, MODELLED, 'The part of keys and shares, by the formula of --secure_sum.'),
  Column(
    'download_bytes_keys', 'bytes', ROUND, MODELLED, 'The part of download_bytes that these take on the way down.'
  ),
  Column('upload_bytes_total', 'bytes', SO_FAR, COUNTED, 'Sum of upload_bytes up to this round.'),
  Column('download_bytes_total', 'bytes', SO_FAR, COUNTED, 'Sum of download_bytes up to this round.'),
  Column('upload_bytes_per_client_max', 'bytes', ROUND, COUNTED, 'Largest payload that one client sent.'),
  Column(
    'upload_distortion',
    'fraction',
    ROUND,
    MEASURED,
    'Squared error that encoding adds, over the squared norm of the updates; with --measure_distortion only.',
  ),
  Column(
    'wrapped_values', 'values', ROUND, COUNTED, 'Values of the secure sum that did not fit its field: each is wrong.'
  ),
  Column('cut_values', 'values', ROUND, COUNTED, 'Values of clients beyond the limit of the secure sum, cut to it.'),
  Column(
    'aborted_rounds', '', ROUND, COUNTED, '1 where too few clients answered for a secure sum: nothing was learned.'
  ),
  Column('trained_fraction', 'fraction', ROUND, COUNTED, 'Parameters that a client trained, mean over num_clients.'),
  Column('epsilon', '', SO_FAR, MODELLED, 'What all rounds up to this one come to, by the accountant of --privacy.'),
  Column('clip', '', ROUND, GIVEN, 'Largest norm of what a client sends; private runs only.'),
  Column('clipped_fraction', 'fraction', ROUND, MEASURED, 'Updates that were longer, exactly: not private itself.'),
  Column('noise_stddev', '', ROUND, MEASURED, 'Root of the mean square of the noise on the values of the mean.'),
  Column(
    'signal_to_noise',
    '',
    ROUND,
    MEASURED,
    'Norm of the sum of the bounded updates over that of its noise, exactly: not private itself.',
  ),
  Column('dropped_updates', 'updates', ROUND, COUNTED, 'Updates that were not finite, which the mean leaves out.'),
  Column(
    'skipped_clients', 'clients', ROUND, COUNTED, 'Clients whose data could not be read, in training or evaluation.'
  ),
  Column('round_retries', '', ROUND, COUNTED, "How often the round began again because TFF's worker was lost."),
  Column('round_seconds', 'seconds', ROUND, MEASURED, 'Wall time of the training of the round, without evaluation.'),
  Column('worker_rss_bytes', 'bytes', ROUND, MEASURED, "Memory of TFF's worker at the end of the round."),
)
STAGES = (
  Column('stage', '', ROW, GIVEN, 'Number of the stage, from 1.'),
  *ROUNDS,
)
STEPS = (
  Column('step', '', ROW, GIVEN, 'Number of the step; 0 is the initial model, evaluated only.'),
  Column('train/loss', 'nats', ROUND, MEASURED, 'Mean loss of the steps since the row before.'),
  *_EVALUATION,
  Column('seconds', 'seconds', SO_FAR, MEASURED, 'Wall time of the steps up to this one, without evaluations.'),
)
HELDOUT = (
  Column('client_id', '', ROW, GIVEN, 'The client; empty for a linear probe.'),
  Column('example', '', ROW, GIVEN, 'Number of the example, from 0; empty where a row is a whole client.'),
  Column('num_predicted', 'tokens or examples', ROW, COUNTED, 'What was predicted.'),
  Column('loss_sum', 'nats', ROW, MEASURED, 'Sum of their cross-entropies; empty for a linear probe.'),
  Column('num_correct', 'tokens or examples', ROW, MEASURED, 'How many of them were right.'),
)
CLIENT_COST = (
  Column('policy', '', ROW, GIVEN, 'The policy of --policies.'),
  Column('trained_fraction', 'fraction', ROW, COUNTED, 'Parameters that a client trains.'),
  Column('step_ms', 'milliseconds', ROW, MEASURED, 'What a local step adds to a round; median of processes.'),
  Column('step_ms_min', 'milliseconds', ROW, MEASURED, 'The same of the fastest process.'),
  Column('step_ms_max', 'milliseconds', ROW, MEASURED, 'The same of the slowest process.'),
  Column('step_cpu_ms', 'milliseconds', ROW, MEASURED, 'Processor time of a local step; median of processes.'),
  Column('peak_mb', 'megabytes', ROW, MEASURED, 'What the steps of a round add at their peak; median of processes.'),
  Column('peak_mb_min', 'megabytes', ROW, MEASURED, 'The same of the process that needs least.'),
  Column('peak_mb_max', 'megabytes', ROW, MEASURED, 'The same of the process that needs most.'),
  Column('fixed_mb', 'megabytes', ROW, MEASURED, 'What tracing the graph left in a process.'),
  Column('upload_bytes', 'bytes', ROW, COUNTED, 'What a client sends in a round; a mean where policies draw.'),
  Column('download_bytes', 'bytes', ROW, COUNTED, 'What a client receives in its first round.'),
  Column('download_bytes_frozen', 'bytes', ROW, COUNTED, 'The part of it that it receives in no later round.'),
  Column('modelled_step_gflop', 'GFLOP', ROW, MODELLED, 'Matrix products and convolutions of a step.'),
  Column('modelled_weights_mb', 'megabytes', ROW, MODELLED, 'All weights.'),
  Column('modelled_gradients_mb', 'megabytes', ROW, MODELLED, 'Gradients of what is trained.'),
  Column('modelled_optimizer_mb', 'megabytes', ROW, MODELLED, "State of the client's optimizer."),
  Column('modelled_activations_mb', 'megabytes', ROW, MODELLED, 'Activations kept for the backward pass.'),
  Column('modelled_memory_mb', 'megabytes', ROW, MODELLED, 'All that a step holds at once.'),
)
SUMMARY = (
  Column('rounds', 'rounds', WHOLE, GIVEN, 'Rounds that were done.'),
  Column('num_parameters', 'parameters', WHOLE, COUNTED, 'Of the model.'),
  Column('num_clients_total', 'clients', WHOLE, COUNTED, 'Clients that may train.'),
  *_EVALUATION,
  Column('upload_bytes_total', 'bytes', WHOLE, COUNTED, 'That of the last row of metrics.csv.'),
  Column('download_bytes_total', 'bytes', WHOLE, COUNTED, 'That of the last row of metrics.csv.'),
  Column('dropped_updates', 'updates', WHOLE, COUNTED, 'Sum over all rounds.'),
  Column(
    'secure_sum',
    '',
    WHOLE,
    COUNTED,
    'Sums of wrapped_values, cut_values and aborted_rounds; null without --secure_sum.',
  ),
  Column('diverged_round', '', WHOLE, MEASURED, 'Since which round no evaluation was finite; null if all is well.'),
  Column(
    'seconds', 'seconds', WHOLE, MEASURED, 'Wall time of this process, and round_seconds of the rounds before it began.'
  ),
  Column('peak_rss_bytes', 'bytes', WHOLE, MEASURED, 'Largest memory of a process, by its name: main, worker.'),
  Column('dataset_hash', '', WHOLE, GIVEN, 'SHA-256 of the prepared data set.'),
  Column(
    'privacy',
    '',
    WHOLE,
    MODELLED,
    'Of a private run epsilon, delta, what they compare (neighbours), how clients were drawn, the noise multiplier, how '
    'often a client took part at most, and the rounds; else null.',
  ),
)
PROBES = (
  Column('probe/accuracy', 'fraction', WHOLE, MEASURED, 'Of a linear classifier on the features.'),
  Column('probe/accuracy_random', 'fraction', WHOLE, MEASURED, 'The same of an encoder that learned nothing.'),
  Column('probe/accuracy_tf_idf', 'fraction', WHOLE, MEASURED, 'The same of TF-IDF; texts only.'),
  Column('finetune/accuracy', 'fraction', WHOLE, MEASURED, 'Of the encoder, fine-tuned; with --finetune_steps only.'),
  Column('finetune/accuracy_random', 'fraction', WHOLE, MEASURED, 'The same of an encoder that learned nothing.'),
)
PRETRAINING_SUMMARY = (
  Column('steps', 'steps', WHOLE, GIVEN, 'Steps that were done.'),
  Column('num_training_examples', 'examples', WHOLE, COUNTED, 'Examples to learn from.'),
  Column('num_evaluation_examples', 'examples', WHOLE, COUNTED, 'Examples that judge.'),
  *_EVALUATION,
  Column('seconds', 'seconds', WHOLE, MEASURED, 'Wall time of all steps.'),
  Column('dataset_hash', '', WHOLE, GIVEN, 'SHA-256 of the examples.'),
  Column('num_parameters', 'parameters', WHOLE, COUNTED, 'Of the model.'),
  Column('teacher_sha256', '', WHOLE, GIVEN, 'SHA-256 of the weights of the teacher; with --teacher only.'),
  Column('pretrained_sha256', '', WHOLE, GIVEN, 'SHA-256 of the weights that it began with; of fine-tunings only.'),
)
EVALUATION = (
  Column('pretrained', '', WHOLE, GIVEN, 'The folder of the model.'),
  Column('dataset', '', WHOLE, GIVEN, 'The data set.'),
  *_EVALUATION,
  Column('num_clients', 'clients', WHOLE, COUNTED, 'Clients that judge.'),
  Column('num_examples', 'examples', WHOLE, COUNTED, 'Their examples.'),
  Column('model_sha256', '', WHOLE, GIVEN, 'SHA-256 of the weights.'),
)
CONFIG = (
  Column('settings', '', WHOLE, GIVEN, 'Every flag with its value, defaults included.'),
  Column('dataset_hash', '', WHOLE, GIVEN, 'SHA-256 of the prepared data set.'),
  Column('heldout_hash', '', WHOLE, GIVEN, 'SHA-256 of the examples that may judge.'),
  Column('evaluation_hash', '', WHOLE, GIVEN, 'SHA-256 of the examples that judge this run.'),
  Column('num_parameters', 'parameters', WHOLE, COUNTED, 'Of the model.'),
  Column('pretrained_sha256', '', WHOLE, GIVEN, 'SHA-256 of the weights that it began with; null if they are random.'),
  Column(
    'teacher_sha256', '', WHOLE, GIVEN, 'SHA-256 of the weights of the teacher; of pretrain, with --teacher only.'
  ),
  Column('planned_model', '', WHOLE, GIVEN, 'The model that limits allow; of constrained_finetuning only.'),
  Column('planned_trainable', '', WHOLE, GIVEN, 'What is trained, likewise: the --trainable of language_model.'),
  Column('planned_devices', '', WHOLE, GIVEN, 'By which devices, likewise: the --devices of language_model.'),
  Column('privacy_plan', '', WHOLE, GIVEN, 'What decides the noise of a private run; of those only.'),
  Column('stage', '', WHOLE, GIVEN, 'Number of the stage; of stages only.'),
  Column('rounds_of_all_stages', 'rounds', WHOLE, GIVEN, 'Rounds that all stages share; of layerwise_ssl only.'),
  Column('binary', '', WHOLE, GIVEN, 'The program.'),
  Column('packages', '', WHOLE, GIVEN, 'Versions of the packages that decide the result.'),
  Column('git_commit', '', WHOLE, GIVEN, 'Commit of the code; null outside a repository.'),
  Column('earlier_commits', '', WHOLE, GIVEN, 'Other commits that wrote to the folder before.'),
)
_COMPARED = (
  Column('round', '', ROW, GIVEN, 'After which round the model was evaluated.'),
  Column('perplexity', '', MODEL, MEASURED, 'On the clients that judge; language models only.'),
  Column('accuracy', 'fraction', MODEL, MEASURED, 'Tokens or examples predicted rightly.'),
  Column('loss', 'nats', MODEL, MEASURED, 'Mean cross-entropy of a predicted token or example.'),
  Column(
    'probe_accuracy', 'fraction', MODEL, MEASURED, 'That of a linear probe; trainings in stages only, at their end.'
  ),
  Column('client_rounds', '', SO_FAR, COUNTED, 'Sum of num_clients.'),
  Column('upload_bytes_total', 'bytes', SO_FAR, COUNTED, 'That of metrics.csv.'),
  Column('download_bytes_total', 'bytes', SO_FAR, COUNTED, 'That of metrics.csv.'),
  Column('epsilon', '', SO_FAR, MODELLED, 'That of metrics.csv, of private runs.'),
  Column('diverged', '', WHOLE, MEASURED, 'Whether the run has diverged by its end: True or False.'),
  Column('finished', '', WHOLE, GIVEN, 'Whether it did all its rounds.'),
)
_OBSERVED = Column(
  'observed', '', ROW, GIVEN, 'update: one round of one client, from the model of --run; run: the end of one of --runs.'
)
_FOLDER = Column('folder', '', ROW, GIVEN, 'That of the run.')
_SEED = Column(
  'seed',
  '',
  ROW,
  GIVEN,
  'That of the run, not told of a codec on an update; flags that vary between runs follow, a column each.',
)
COMPARED_RUNS = (
  Column(
    'setting', '', ROW, GIVEN, 'The flags that tell it from other settings; runs of one setting differ in the seed.'
  ),
  Column('name', '', ROW, GIVEN, 'The same in words.'),
  _FOLDER,
  _SEED,
  *_COMPARED,
)
COMPARED_CODECS = (
  _OBSERVED,
  Column('upload', '', ROW, GIVEN, 'The codec.'),
  _FOLDER,
  _SEED,
  Column('upload_bytes', 'bytes', ROW, COUNTED, 'The payload of the update.'),
  Column('bits_per_parameter', 'bits', ROW, COUNTED, 'The same for each value of the update.'),
  Column('distortion', 'fraction', ROW, MEASURED, 'Squared error that encoding adds, over the squared norm.'),
  *_COMPARED,
)
COMPARED_POLICIES = (
  _OBSERVED,
  Column('trainable', '', ROW, GIVEN, 'The policy.'),
  _FOLDER,
  _SEED,
  Column('model', '', ROW, GIVEN, 'That of the run.'),
  Column('download', '', ROW, GIVEN, 'The codec of the download.'),
  Column('client_id', '', ROW, GIVEN, 'The client that trained.'),
  Column('num_examples', 'examples', ROW, COUNTED, 'What it trained on, each as often as it was seen.'),
  Column('trained_parameters', 'parameters', ROW, COUNTED, 'What it trained.'),
  Column(
    'trained_fraction', 'fraction', ROW, COUNTED, 'The same over all of the model; of a run the mean over rounds.'
  ),
  Column('upload_bytes', 'bytes', ROW, COUNTED, 'What it sent: the payload, the bitmap of variables and its weight.'),
  Column('download_bytes', 'bytes', ROW, COUNTED, 'What it received; of an update, in a first round.'),
  Column('loss_before', 'nats', MODEL, MEASURED, 'Held-out loss of the model of --run.'),
  Column('loss_after', 'nats', MODEL, MEASURED, 'The same once its update, decoded, is subtracted.'),
  Column(
    'best_length', '', ROW, MEASURED, "By what the policy's updates are multiplied to gain most over its clients."
  ),
  Column('loss_at_best_length', 'nats', MODEL, MEASURED, 'The same as loss_after at that length.'),
  Column('note', '', ROW, GIVEN, 'Why something was not measured.'),
  *_COMPARED,
)
