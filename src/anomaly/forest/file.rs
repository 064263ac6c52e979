//! A forest as bytes.
//!
//! Columns, samples, trees, columns of a cut (u16 each); with more than one of these, mean and factor of every column (f32 each). Then the
//! trees, each breadth first until it is whole: a leaf is 0 and its rows (u16 each); a cut is its slot (u16) and threshold (f32), and with more than
//! one column for each of them the column (u16) and its weight (f32). Where children are follows from the order.

use super::oblique::{Oblique, Scale, Term};
use super::tree::{LEAF, Plantation, Sprout, column};
use super::{Fault, Forest, MAX_COLUMNS, MAX_SAMPLES, MAX_TREES};

pub(super) fn write(forest: &Forest, out: &mut Vec<u8>) {
    let width = forest.oblique.as_ref().map_or(1, |oblique| oblique.width);
    for number in [forest.columns, forest.samples, forest.trees, width] {
        out.extend(number.to_le_bytes());
    }
    for scale in forest.oblique.iter().flat_map(|oblique| &oblique.scales) {
        out.extend(scale.mean.to_le_bytes());
        out.extend(scale.factor.to_le_bytes());
    }
    let mut planes = forest.oblique.iter().flat_map(|oblique| oblique.terms.chunks_exact(usize::from(width)));
    // All but the last, which is in no tree.
    let nodes = forest.nodes.iter().zip(&forest.aside).take(forest.nodes.len().saturating_sub(1));
    for (node, aside) in nodes {
        out.extend(node.slot.to_le_bytes());
        if node.slot == LEAF {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "was made of a u16")]
            out.extend((*aside as u16).to_le_bytes());
            continue;
        }
        out.extend(node.threshold.to_le_bytes());
        for term in planes.next().into_iter().flatten() {
            out.extend(term.column.to_le_bytes());
            out.extend(term.weight.to_le_bytes());
        }
    }
}

pub(super) fn read(bytes: &mut &[u8]) -> Result<Forest, Fault> {
    let columns = within(u16(bytes)?, 1, u16::try_from(MAX_COLUMNS).unwrap_or(u16::MAX), "no or too many columns")?;
    let samples = within(u16(bytes)?, 2, MAX_SAMPLES, "too few or too many rows a tree")?;
    let trees = within(u16(bytes)?, 1, MAX_TREES, "no or too many trees")?;
    let width = within(u16(bytes)?, 1, columns, "cuts of no or too many columns")?;
    let scales = if width > 1 { (0..columns).map(|_| scale(bytes)).collect::<Result<_, _>>()? } else { Box::default() };
    let mut terms = Vec::new();
    let mut plantation = Plantation::new(samples);
    for _ in 0..trees {
        let mut tree = Vec::new();
        let mut missing = 1_u32;
        while missing > 0 {
            if tree.len() + missing as usize > 2 * usize::from(samples) {
                return Err(Fault("a tree that is too large"));
            }
            let slot = u16(bytes)?;
            if slot == LEAF {
                tree.push(Sprout::Leaf { rows: u16(bytes)? });
                missing -= 1;
                continue;
            }
            if column(slot).0 >= if width > 1 { 1 } else { columns } {
                return Err(Fault("a cut at a column that is not there"));
            }
            tree.push(Sprout::Cut { slot, threshold: number(bytes)? });
            missing += 1;
            if width > 1 {
                for _ in 0..width {
                    terms.push(term(bytes, columns)?);
                }
            }
        }
        plantation.plant(&tree)?;
    }
    let oblique = (width > 1).then(|| Oblique { scales, width, terms: terms.into() });
    plantation.finish(columns, oblique)
}

fn scale(bytes: &mut &[u8]) -> Result<Scale, Fault> {
    let scale = Scale { mean: number(bytes)?, factor: number(bytes)? };
    if scale.factor < 0.0 { Err(Fault("a negative deviation")) } else { Ok(scale) }
}

fn term(bytes: &mut &[u8], columns: u16) -> Result<Term, Fault> {
    let term = Term { column: u16(bytes)?, weight: number(bytes)? };
    if term.column >= columns || term.weight.abs() > Term::MOST {
        return Err(Fault("a column that is not there, or too heavy"));
    }
    Ok(term)
}

fn within(number: u16, least: u16, most: u16, fault: &'static str) -> Result<u16, Fault> {
    if (least..=most).contains(&number) { Ok(number) } else { Err(Fault(fault)) }
}

fn number(bytes: &mut &[u8]) -> Result<f32, Fault> {
    let number = f32::from_le_bytes(take(bytes)?);
    if number.is_finite() { Ok(number) } else { Err(Fault("a number that is not finite")) }
}

fn u16(bytes: &mut &[u8]) -> Result<u16, Fault> {
    take(bytes).map(u16::from_le_bytes)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Fault> {
    let (taken, rest) = bytes.split_first_chunk().ok_or(Fault("it ends too early"))?;
    *bytes = rest;
    Ok(*taken)
}
