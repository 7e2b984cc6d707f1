//! Tables made rising over sizes and frame counts, so that no size looks better than a larger one by chance.

/// Each row non-decreasing, closest in weighted squares: pool adjacent violators (Barlow et al., Statistical Inference
/// under Order Restrictions, 1972).
fn rising_row(values: &mut [f64], weights: &[f64]) {
    let mut blocks: Vec<(f64, f64, usize)> = Vec::with_capacity(values.len());
    for (value, weight) in values.iter().zip(weights) {
        blocks.push((*value, weight.max(1e-9), 1));
        while let [.., a, b] = blocks[..] {
            if a.0 <= b.0 {
                break;
            }
            blocks.truncate(blocks.len() - 2);
            blocks.push(((a.0 * a.1 + b.0 * b.1) / (a.1 + b.1), a.1 + b.1, a.2 + b.2));
        }
    }
    let pooled = blocks.iter().flat_map(|(value, _, count)| std::iter::repeat_n(*value, *count));
    values.iter_mut().zip(pooled).for_each(|(value, new)| *value = new);
}

fn turned(grid: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let columns = grid.first().map_or(0, Vec::len);
    (0..columns).map(|column| grid.iter().map(|row| row[column]).collect()).collect()
}

/// Non-decreasing along rows and columns: alternating projections (Dykstra, JASA 78, 1983), the last ripple taken out
/// upwards. All rows have the same length.
#[must_use]
pub fn rising(grid: &[Vec<f64>], weights: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut current = grid.to_vec();
    let zero: Vec<Vec<f64>> = grid.iter().map(|row| vec![0.0; row.len()]).collect();
    let (mut first, mut second) = (zero.clone(), zero);
    let turned_weights = turned(weights);
    for _ in 0..300 {
        let mut step = sum(&current, &first, 1.0);
        let before = step.clone();
        step.iter_mut().zip(weights).for_each(|(row, weight)| rising_row(row, weight));
        first = sum(&before, &step, -1.0);
        let before = sum(&step, &second, 1.0);
        let mut columns = turned(&before);
        columns.iter_mut().zip(&turned_weights).for_each(|(row, weight)| rising_row(row, weight));
        current = turned(&columns);
        second = sum(&before, &current, -1.0);
    }
    for at in 0..current.len() {
        for column in 0..current[at].len() {
            let above = if at > 0 { current[at - 1][column] } else { f64::NEG_INFINITY };
            let before = if column > 0 { current[at][column - 1] } else { f64::NEG_INFINITY };
            current[at][column] = current[at][column].max(above).max(before);
        }
    }
    current
}

fn sum(a: &[Vec<f64>], b: &[Vec<f64>], sign: f64) -> Vec<Vec<f64>> {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + sign * b).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_table_becomes_rising_and_a_rising_one_stays(
            values in prop::collection::vec(-5.0_f64..5.0, 20),
            weights in prop::collection::vec(0.1_f64..9.0, 20),
        ) {
            let grid: Vec<Vec<f64>> = values.chunks(5).map(<[f64]>::to_vec).collect();
            let weights: Vec<Vec<f64>> = weights.chunks(5).map(<[f64]>::to_vec).collect();
            let out = rising(&grid, &weights);
            for row in &out {
                prop_assert!(row.windows(2).all(|pair| pair[0] <= pair[1]));
            }
            for column in turned(&out) {
                prop_assert!(column.windows(2).all(|pair| pair[0] <= pair[1]));
            }
            let again = rising(&out, &weights);
            for (a, b) in out.iter().flatten().zip(again.iter().flatten()) {
                prop_assert!((a - b).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn two_that_fall_are_pooled_by_weight() {
        let out = rising(&[vec![3.0, 0.0]], &[vec![2.0, 1.0]]);
        assert!((out[0][0] - 2.0).abs() < 1e-9 && (out[0][1] - 2.0).abs() < 1e-9);
    }
}
