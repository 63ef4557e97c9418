"""Small tokenizers as the `tokenizers` library trains and stores them; which pieces they have is the same in a process only."""

import functools

import tokenizers
from tokenizers import models
from tokenizers import normalizers
from tokenizers import pre_tokenizers
from tokenizers import processors
from tokenizers import trainers

_TEXTS = ['the cat sat on the mat', 'a dog ran to the cat', 'The mat of a dog, 1999'] * 3
_BERT = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
_ROBERTA = ['<s>', '<pad>', '</s>', '<unk>', '<mask>']  # In the order that is usual there: padding is 1.


@functools.cache
def word_piece(size: int = 40) -> str:
  """BERT's, with padding 0."""
  tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token='[UNK]'))
  tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
  tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
  trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=_BERT, show_progress=False)
  tokenizer.train_from_iterator(_TEXTS, trainer)
  tokenizer.post_processor = processors.TemplateProcessing(
    single='[CLS] $A [SEP]', pair='[CLS] $A [SEP] $B:1 [SEP]:1', special_tokens=[('[CLS]', 2), ('[SEP]', 3)]
  )
  return tokenizer.to_str()


@functools.cache
def byte_level(size: int = 270) -> str:
  """RoBERTa's, with padding 1; 256 bytes, special tokens and a few merges."""
  tokenizer = tokenizers.Tokenizer(models.BPE())
  tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  alphabet = pre_tokenizers.ByteLevel.alphabet()
  trainer = trainers.BpeTrainer(
    vocab_size=size, special_tokens=_ROBERTA, initial_alphabet=alphabet, show_progress=False
  )
  tokenizer.train_from_iterator(_TEXTS, trainer)
  tokenizer.post_processor = processors.RobertaProcessing(('</s>', 2), ('<s>', 0))
  return tokenizer.to_str()


@functools.cache
def unigram(size: int = 40) -> str:
  """XLM-RoBERTa's kind, with padding 1."""
  tokenizer = tokenizers.Tokenizer(models.Unigram())
  tokenizer.normalizer = normalizers.NFKC()
  tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
  trainer = trainers.UnigramTrainer(vocab_size=size, special_tokens=_ROBERTA, unk_token='<unk>', show_progress=False)
  tokenizer.train_from_iterator(_TEXTS, trainer)
  byte_level_then_ends = [
    processors.ByteLevel(trim_offsets=True),
    processors.TemplateProcessing(single='<s> $A </s>', special_tokens=[('<s>', 0), ('</s>', 2)]),
  ]
  tokenizer.post_processor = processors.Sequence(byte_level_then_ends)
  return tokenizer.to_str()


KINDS = {'WordPiece': word_piece, 'byte-level BPE': byte_level, 'Unigram': unigram}
