//! Whose token is this? For those who let users in with the cluster's tokens (the kubelet's own API among them).
use super::{Reviewer, answered, strings, text, user_info};
use crate::authenticate::AUTHENTICATED;
use machinery::status::Status;
use serde_json::{Value, json};

pub async fn review(reviewer: &Reviewer, mut body: Value) -> Result<Value, Status> {
    let token = text(&body["spec"], "token");
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let audiences = strings(&body["spec"]["audiences"]);
    let wanted = (!audiences.is_empty()).then_some(audiences.as_slice());
    if !body["metadata"].is_object() {
        body["metadata"] = json!({});
    }
    let status = match reviewer.tokens.authenticate(&token, wanted).await {
        Ok(Some(mut found)) => {
            found.user.groups.push(AUTHENTICATED.into());
            json!({"authenticated": true, "user": user_info(&found.user), "audiences": found.audiences})
        }
        Ok(None) => json!({"user": {}}),
        Err(why) => json!({"user": {}, "error": format!("[invalid bearer token, {why}]")}),
    };
    Ok(answered(body, status))
}
