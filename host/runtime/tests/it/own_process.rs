//! Runs a test again in a process of its own: for what belongs to a whole process, such as its environment or its memory.

use std::process::Command;

const CHILD: &str = "AFTERCOMMIT_TEST_OF_ITS_OWN";

/// In the tests' process: runs the test of that name (`module::name`) alone in another one, with these variables of the
/// environment, and returns false. In that process: returns true.
pub(crate) fn is_own(test: &str, environment: &[(&str, &str)]) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", test, "--nocapture", "--test-threads", "1"]).env(CHILD, "1");
    let output = again.envs(environment.iter().copied()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{test}:\n{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("1 passed"), "there is no test `{test}`: {told}");
    print!("{told}");
    false
}
