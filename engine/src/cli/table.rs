//! Columns as Docker aligns them: Go's `text/tabwriter` with a minimal width of 10 and three blanks between cells.

const MIN_WIDTH: usize = 10;
const PADDING: usize = 3;

/// Aligns lines whose cells are separated by tabs; every line comes back with its newline.
///
/// A column is a run of lines that have that cell and a further one; the last cell of a line is never padded.
pub fn align(text: &str) -> String {
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|cells| vec![0; cells.len() - 1]).collect();
    let columns = widths.iter().map(Vec::len).max().unwrap_or(0);
    for column in 0..columns {
        let mut start = 0;
        while start < lines.len() {
            let end = (start..lines.len()).find(|&line| widths[line].len() <= column).unwrap_or(lines.len());
            let widest = lines[start..end].iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
            for line in &mut widths[start..end] {
                line[column] = (widest + PADDING).max(MIN_WIDTH);
            }
            start = end.max(start + 1);
        }
    }
    lines.iter().zip(&widths).map(|(cells, widths)| align_line(cells, widths)).collect()
}

fn align_line(cells: &[&str], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        line.push_str(&format!("{cell:<width$}"));
    }
    line.push_str(cells.last().copied().unwrap_or_default());
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::align;

    #[test]
    fn a_listing_is_aligned_as_docker_printed_it() {
        let given = "CONTAINER ID\tIMAGE\tCOMMAND\tCREATED\tSTATUS\tPORTS\tNAMES\n\
                     6aa001e19652\tubuntu\t\"sh -c 'echo out; ec…\"\t1 second ago\tExited (0) 1 second ago\t\tlgt\n\
                     4dfd144a2452\tubuntu\t\"true\"\t7 seconds ago\tCreated\t\tsleepy_roentgen\n";
        let printed = "\
CONTAINER ID   IMAGE     COMMAND                  CREATED         STATUS                    PORTS     NAMES
6aa001e19652   ubuntu    \"sh -c 'echo out; ec…\"   1 second ago    Exited (0) 1 second ago             lgt
4dfd144a2452   ubuntu    \"true\"                   7 seconds ago   Created                             sleepy_roentgen
";
        assert_eq!(align(given), printed);
    }

    #[test]
    fn an_empty_listing_has_narrow_columns() {
        assert_eq!(
            align("REPOSITORY\tTAG\tIMAGE ID\tCREATED\tSIZE\n"),
            "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n"
        );
    }

    #[test]
    fn an_empty_last_cell_leaves_the_blanks_before_it() {
        let printed = align("SIZE\tCOMMENT\n14B\t\n");
        assert_eq!(printed, "SIZE      COMMENT\n14B       \n");
    }

    #[test]
    fn a_column_ends_where_a_line_lacks_it() {
        assert_eq!(align("a\tb\nplain\nlonger than ten\tb\n"), "a         b\nplain\nlonger than ten   b\n");
    }
}
