//! Inputs made of seeds: bytes changed, pieces moved, repeated and taken from other seeds, words put in.

use std::ops::Range;

use fastrand::Rng;

/// The longest input.
pub(crate) const MAX_BYTES: usize = 64 << 10;

/// Changes of one input at most, beside a repetition.
const MAX_CHANGES: usize = 6;

/// So many inputs are kept beside the seeds, to be changed further.
const KEPT: usize = 64;

/// Bytes that mean something in most formats, and some that mean nothing.
const ODD: &[u8] = b"\0\n\r\t \"'\\{}[]()<>,;:.-+*$#%&/|=~@!?_\x1b\x7f\x80\xc3\xff09aZ";

/// Makes one input after the other, the same ones from the same seed.
pub(crate) struct Inputs {
    random: Rng,
    corpus: Vec<Vec<u8>>,
    seeds: usize,
    words: Vec<Vec<u8>>,
}

impl Inputs {
    pub(crate) fn new(seeds: &[&[u8]], seed: u64) -> Self {
        let corpus: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.to_vec()).collect();
        let mut words: Vec<Vec<u8>> = seeds.iter().flat_map(|seed| words(seed)).collect();
        words.sort_unstable();
        words.dedup();
        Self { random: Rng::with_seed(seed), seeds: corpus.len(), corpus, words }
    }

    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut input = if self.random.u8(..) < 4 { self.noise() } else { self.any().to_vec() };
        for _ in 0..self.random.usize(1..=MAX_CHANGES) {
            self.change(&mut input);
        }
        // Seldom, because long inputs take long.
        if self.random.u8(..) < 8 {
            self.repeat(&mut input);
        }
        input.truncate(MAX_BYTES);
        self.keep(&input);
        input
    }

    fn noise(&mut self) -> Vec<u8> {
        let length = self.random.usize(..512);
        (0..length).map(|_| self.random.u8(..)).collect()
    }

    fn any(&mut self) -> &[u8] {
        let place = self.random.usize(..self.corpus.len());
        &self.corpus[place]
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let (at, part) = (self.random.usize(..=input.len()), self.range(input.len()));
        match self.random.u8(..8) {
            0 => drop(input.drain(part)),
            1 => {
                let copy = input[part].to_vec();
                insert(input, at, &copy);
            }
            2 => {
                let other = self.any().to_vec();
                let piece = other[self.range(other.len())].to_vec();
                input.splice(part, piece);
            }
            3 | 4 => {
                let word = self.words[self.random.usize(..self.words.len())].clone();
                insert(input, at, &word);
            }
            5 => insert(input, at, &[ODD[self.random.usize(..ODD.len())]]),
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = match self.random.u8(..3) {
                        0 => *byte ^ (1 << self.random.u8(..8)),
                        1 => ODD[self.random.usize(..ODD.len())],
                        _ => self.random.u8(..),
                    };
                }
            }
        }
    }

    /// A piece as often as it fits, or less often.
    fn repeat(&mut self, input: &mut Vec<u8>) {
        let part = self.range(input.len());
        let (at, piece) = (part.end, input[part].to_vec());
        if !piece.is_empty() {
            let most = MAX_BYTES.saturating_sub(input.len()) / piece.len();
            let times = self.random.usize(..=most) >> self.random.u8(..8);
            insert(input, at, &piece.repeat(times));
        }
    }

    fn range(&mut self, length: usize) -> Range<usize> {
        let start = self.random.usize(..=length);
        // Short pieces are what words and values are made of.
        let most = if self.random.bool() { (length - start).min(8) } else { length - start };
        start..start + self.random.usize(..=most)
    }

    /// Short ones only, or all would be long soon.
    fn keep(&mut self, input: &[u8]) {
        if input.len() < 4096 && self.random.u8(..) < 16 {
            if self.corpus.len() < self.seeds + KEPT {
                self.corpus.push(input.to_vec());
            } else {
                let place = self.random.usize(self.seeds..self.corpus.len());
                self.corpus[place] = input.to_vec();
            }
        }
    }
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    input.splice(at..at, piece.iter().copied());
}

/// The runs of letters and digits of a seed, and of everything else between them.
fn words(seed: &[u8]) -> Vec<Vec<u8>> {
    seed.chunk_by(|left, right| left.is_ascii_alphanumeric() == right.is_ascii_alphanumeric())
        .map(<[u8]>::to_vec)
        .collect()
}
