//! The index that is searched: version 1 of Docker's protocol, `/v1/_ping` and `/v1/search`.

use serde::Serialize;
use serde_json::{Value, json};

const RESULTS: usize = 25;

/// One repository of the index, as Docker Hub lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    pub name: String,
    pub description: String,
    #[serde(rename = "star_count")]
    pub stars: u64,
    #[serde(rename = "is_official")]
    pub official: bool,
    #[serde(rename = "is_automated")]
    pub automated: bool,
}

/// The answer to `/v1/search?q=…&n=…`: what has the words in its name or description, the most starred first.
pub(super) fn answer(index: &[Listed], query: &[(String, String)]) -> Value {
    let asked = |key: &str| query.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str());
    let words = asked("q").unwrap_or_default().to_lowercase();
    let most = asked("n").and_then(|n| n.parse().ok()).unwrap_or(RESULTS);
    let fits = |listed: &&Listed| {
        words
            .split_whitespace()
            .all(|word| listed.name.to_lowercase().contains(word) || listed.description.to_lowercase().contains(word))
    };
    let mut found: Vec<&Listed> = index.iter().filter(fits).collect();
    found.sort_by_key(|listed| std::cmp::Reverse(listed.stars));
    found.truncate(most);
    json!({
        "num_pages": 1, "num_results": found.len(), "page": 1, "page_size": most, "query": words, "results": found,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_the_word_is_found_the_most_starred_first() {
        let listed = |name: &str, description: &str, stars| Listed {
            name: name.to_owned(),
            description: description.to_owned(),
            stars,
            official: false,
            automated: false,
        };
        let index = [listed("a/centos7", "", 1), listed("bash", "a shell", 9), listed("x", "on CentOS", 5)];
        let query = |n: &str| [("q".to_owned(), "centos".to_owned()), ("n".to_owned(), n.to_owned())];
        let names = |answer: Value| -> Vec<String> {
            answer["results"].as_array().unwrap().iter().map(|found| found["name"].to_string()).collect()
        };
        assert_eq!(names(answer(&index, &query("25"))), ["\"x\"", "\"a/centos7\""]);
        assert_eq!(names(answer(&index, &query("1"))), ["\"x\""]);
    }
}
