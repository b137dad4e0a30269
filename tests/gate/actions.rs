//! Deciding on actions, proposing them, and keeping the record.

use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use modelward_crds::{
    ActionType::{PromoteModel, RetrainModel, RollbackModel, SendAlert},
    RemediationAction,
    annotations::{APPROVE, COMMENT, PROPOSED_BY, REJECT},
    gate::{DECISIONS, RECORDS, STATUS},
};
use modelward_kit::apiserver::User;
use serde_json::json;

use crate::support::{By, Gate, Person, REMOVED, Tally, action, decision, digest, of_object, plan};

const DECIDES: By = By::Policy(DECISIONS);

/// The first fifty-odd: one action from its proposal to its end.
pub async fn deciding(gate: &Gate, tally: &mut Tally) {
    let (alice, bob, carol, dave, operator) =
        (&gate.alice, &gate.bob, &gate.carol, &gate.dave, &gate.operator);
    let planned = digest(0xaaa);
    let (first, second) = (decision(1), decision(2));
    let says = |word: &str, who: &str| format!("{word} {planned} {who}");
    let approves = says("approve", "alice");

    tally.allowed(
        "operator proposes",
        gate.propose(operator, "r1", RetrainModel, &[]).await,
    );
    tally.is(
        "the proposer is stamped",
        &gate.annotation("r1", PROPOSED_BY).await,
        &operator.name.clone(),
    );
    for (attack, key, value) in [
        ("no plan yet", &*first, &*approves),
        ("no plan yet, shorthand", APPROVE, "true"),
    ] {
        let outcome = gate.annotate(alice, "r1", &[(key, value)]).await;
        tally.refused(
            attack,
            DECIDES,
            "there is no plan to decide on yet: wait for status.plan",
            outcome,
        );
    }
    tally.allowed("operator plans", gate.plan("r1", &planned).await);

    // --- whose word it is, and on what
    let not_bob = "user bob may not decide on RetrainModel: this requires the verb approve on actions.modelward.io/RetrainModel";
    let reads = format!(
        "run: kubectl annotate --namespace {} ra/r1 {first}=\"approve {planned} ",
        gate.namespace
    );
    let word = "set either modelward.io/approve or modelward.io/reject, to true";
    for (attack, who, annotations, sentence) in [
        (
            "bob without approve verb",
            bob,
            vec![(&*first, &*says("approve", "bob"))],
            not_bob,
        ),
        (
            "bob without approve verb, shorthand",
            bob,
            vec![(APPROVE, "true")],
            not_bob,
        ),
        (
            "bob without approve verb rejects",
            bob,
            vec![(REJECT, "true")],
            not_bob,
        ),
        (
            "bob writes alice's name",
            bob,
            vec![(&*first, &*approves)],
            not_bob,
        ),
        (
            "alice writes bob's name",
            alice,
            vec![(&*first, &*says("approve", "bob"))],
            &reads,
        ),
        (
            "wrong digest",
            alice,
            vec![(&*first, &*format!("approve {} alice", digest(0xbbb)))],
            &reads,
        ),
        (
            "wrong digest, shorthand",
            alice,
            vec![(APPROVE, &*digest(0xbbb))],
            &reads,
        ),
        (
            "digest prefix",
            alice,
            vec![(&*first, &*format!("approve {} alice", &planned[..70]))],
            &reads,
        ),
        (
            "digest prefix, shorthand",
            alice,
            vec![(APPROVE, &planned[..70])],
            &reads,
        ),
        (
            "an unset variable in place of the digest",
            alice,
            vec![(APPROVE, "")],
            "the value is empty, as that of an unset variable is: set either modelward.io/approve",
        ),
        (
            "an unset variable in place of the digest, rejecting",
            alice,
            vec![(REJECT, "")],
            "the value is empty, as that of an unset variable is: set either modelward.io/approve",
        ),
        (
            "digest in capitals",
            alice,
            vec![(&*first, &*approves.replace("aaa", "AAA"))],
            &reads,
        ),
        (
            "name prefix",
            alice,
            vec![(&*first, &*says("approve", "alicex"))],
            &reads,
        ),
        (
            "comment without its mark",
            alice,
            vec![(&*first, &*says("approve", "alice fine"))],
            &reads,
        ),
        (
            "a word in capitals",
            alice,
            vec![(&*first, &*says("Approve", "alice"))],
            &reads,
        ),
        (
            "a word of its own",
            alice,
            vec![(&*first, &*says("override", "alice"))],
            &reads,
        ),
        ("an empty decision", alice, vec![(&*first, "")], &reads),
        (
            "two decisions at once",
            alice,
            vec![(&*first, &*approves), (&*second, &*approves)],
            "one decision a request",
        ),
        (
            "a key out of turn",
            alice,
            vec![(&*second, &*says("reject", "alice"))],
            "the next decision is approval.modelward.io/1",
        ),
        (
            "a key that is no number",
            alice,
            vec![("approval.modelward.io/x", &*approves)],
            "the next decision is approval.modelward.io/1",
        ),
        (
            "approve=false is no approval",
            alice,
            vec![(APPROVE, "false")],
            word,
        ),
        (
            "approve and reject at once",
            alice,
            vec![(APPROVE, "true"), (REJECT, "true")],
            word,
        ),
        (
            "approve and reject at once, in full",
            alice,
            vec![(&*first, &*approves), (&*second, &*says("reject", "alice"))],
            "one decision a request",
        ),
        ("bob plants a shorthand", bob, vec![(APPROVE, "yes")], not_bob),
        ("another word", alice, vec![(APPROVE, "yes")], word),
        (
            "bob plants a comment for the next one's decision",
            bob,
            vec![(COMMENT, "I have checked the data")],
            "modelward.io/comment goes with a decision, in the same request",
        ),
        (
            "a decision of several lines",
            alice,
            vec![(APPROVE, "true"), (COMMENT, "fine\nreject it")],
            "is one line",
        ),
    ] {
        let outcome = gate.annotate(who, "r1", &annotations).await;
        tally.refused(attack, DECIDES, sentence, outcome);
    }
    let huge = "x".repeat(100_000);
    let outcome = gate
        .annotate(alice, "r1", &[(APPROVE, "true"), (COMMENT, &huge)])
        .await;
    tally.refused("a comment of 100 KB", DECIDES, "at most 512 characters", outcome);

    // --- plan and spec
    let evil = json!({"plan": plan(&digest(0xe))});
    for (attack, who) in [
        ("bob writes status", bob),
        ("admin writes status", &gate.admin),
        ("alice writes status", alice),
    ] {
        let outcome = gate
            .write_status::<RemediationAction>(who, "r1", evil.clone(), false)
            .await;
        if who.name == alice.name {
            tally.refused(
                attack,
                By::Roles,
                "cannot patch resource \"remediationactions/status\"",
                outcome,
            );
        } else {
            tally.refused(
                attack,
                By::Policy(STATUS),
                "is written by the operator of this namespace alone",
                outcome,
            );
        }
    }
    let outcome = gate
        .patch::<RemediationAction>(bob, "r1", json!({"spec": {"type": "RollbackModel"}}), false)
        .await;
    tally.refused("bob edits spec", By::Schema, "spec is immutable", outcome);

    // --- being born
    let outcome = gate.propose(bob, "r2", RetrainModel, &[]).await;
    tally.refused(
        "bob creates",
        DECIDES,
        "user bob may not propose RetrainModel: this requires the verb propose",
        outcome,
    );
    let outcome = gate
        .propose(operator, "r3", RetrainModel, &[(&first, &approves)])
        .await;
    tally.refused(
        "born approved",
        DECIDES,
        "an action cannot be created with a decision on it",
        outcome,
    );
    let born = action("r3", RetrainModel, &[(&first, &approves)]);
    let outcome = gate
        .actions(dave)
        .patch("r3", &PatchParams::apply("dave"), &Patch::Apply(&born))
        .await;
    tally.refused(
        "born approved, by server-side apply",
        DECIDES,
        "an action cannot be created with a decision on it",
        outcome,
    );
    let outcome = gate
        .propose(operator, "r3", RetrainModel, &[(APPROVE, "true")])
        .await;
    tally.refused(
        "born with the shorthand",
        DECIDES,
        "an action cannot be created with modelward.io/approve",
        outcome,
    );
    let outcome = gate
        .propose(operator, "r3", RetrainModel, &[(COMMENT, "fine")])
        .await;
    tally.refused(
        "born with a comment",
        DECIDES,
        "modelward.io/comment goes with a decision",
        outcome,
    );

    // --- no people
    let outcome = gate
        .annotate(&gate.ci, "r1", &[(&first, &says("approve", &gate.ci.name))])
        .await;
    tally.refused(
        "service account decides",
        DECIDES,
        "service accounts and system users may not decide",
        outcome,
    );
    let outcome = gate.annotate(&gate.ci, "r1", &[(APPROVE, "true")]).await;
    tally.refused(
        "service account decides, shorthand",
        DECIDES,
        "service accounts and system users may not decide",
        outcome,
    );
    let outcome = gate
        .annotate(operator, "r1", &[(&first, &says("approve", &operator.name))])
        .await;
    tally.refused(
        "operator decides",
        DECIDES,
        "service accounts and system users may not decide",
        outcome,
    );
    let mask = masked(gate, "eve # bob");
    let outcome = gate.annotate(&mask, "r1", &[(APPROVE, "true")]).await;
    tally.refused(
        "a user whose name looks like a comment",
        DECIDES,
        "could be read as another one in a record of decisions, so it cannot decide",
        outcome,
    );

    // --- keeping it
    let outcome = gate.annotate(bob, "r1", &[(PROPOSED_BY, "alice")]).await;
    tally.refused(
        "bob makes alice the proposer",
        DECIDES,
        "modelward.io/proposed-by cannot be changed",
        outcome,
    );
    let absent = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "none", "uid": "00000000-0000-0000-0000-000000000000"}]);
    for (attack, metadata) in [
        (
            "bob gives it away to the collector",
            json!({"ownerReferences": absent}),
        ),
        (
            "bob adds a finalizer",
            json!({"finalizers": ["example.com/wedge"]}),
        ),
    ] {
        let outcome = gate
            .patch::<RemediationAction>(bob, "r1", json!({"metadata": metadata}), false)
            .await;
        tally.refused(
            attack,
            DECIDES,
            "owner references and finalizers of an action are the operator's",
            outcome,
        );
    }
    let kept = "the record of an action is kept: deleting one takes the verb delete on actions.modelward.io/RetrainModel";
    tally.refused(
        "bob deletes the record",
        DECIDES,
        kept,
        gate.delete::<RemediationAction>(bob, "r1").await,
    );
    let all = gate
        .actions(bob)
        .delete_collection(&DeleteParams::default(), &ListParams::default())
        .await;
    tally.refused("bob deletes all records", DECIDES, kept, all);

    // --- approving
    let commented = format!("{approves} # looked at the report");
    tally.allowed(
        "alice approves in full",
        gate.annotate(alice, "r1", &[(&first, &commented)]).await,
    );
    let changed = "a decision once made cannot be changed or removed";
    for (attack, who, value) in [
        ("overwrite own decision", alice, &*says("reject", "alice")),
        ("remove decision", alice, REMOVED),
        ("bob removes decision", bob, REMOVED),
        ("carol overwrites decision", &gate.carol, "note"),
    ] {
        tally.refused(
            attack,
            DECIDES,
            changed,
            gate.annotate(who, "r1", &[(&first, value)]).await,
        );
    }
    let mut bare = gate.actions(bob).get("r1").await.unwrap();
    bare.metadata.annotations = None;
    let outcome = gate
        .actions(bob)
        .replace("r1", &PostParams::default(), &bare)
        .await;
    tally.refused("replace without annotations", DECIDES, changed, outcome);
    let applied = json!({
        "apiVersion": "modelward.io/v1alpha1", "kind": "RemediationAction",
        "metadata": {"name": "r1", "annotations": {second.as_str(): says("approve", "bob")}},
    });
    let outcome = gate
        .actions(bob)
        .patch("r1", &PatchParams::apply("bob"), &Patch::Apply(&applied))
        .await;
    tally.refused(
        "server-side apply of a decision by bob",
        DECIDES,
        not_bob,
        outcome,
    );
    for (attack, key, value) in [
        ("one person twice", &*second, &*approves),
        (
            "one person twice, with another comment",
            &*second,
            &*format!("{approves} # once more"),
        ),
        ("one person twice, shorthand", APPROVE, "true"),
    ] {
        let outcome = gate.annotate(alice, "r1", &[(key, value)]).await;
        tally.refused(
            attack,
            DECIDES,
            "you already made this decision on this plan; a further approval must come from a user other than",
            outcome,
        );
    }

    tally.allowed(
        "unrelated annotation",
        gate.annotate(bob, "r1", &[("note", "hello")]).await,
    );
    let decisions = json!({"decisions": [{"number": 1, "decision": "Approve", "user": "alice", "digest": planned, "seenAt": "2026-01-01T10:00:00Z"}]});
    let outcome = gate
        .write_status::<RemediationAction>(operator, "r1", decisions, false)
        .await;
    tally.allowed("operator status after decision", outcome);
    let outcome = gate
        .annotate(carol, "r1", &[(APPROVE, "true"), (COMMENT, "fine by me")])
        .await;
    tally.allowed(
        "carol with an e-mail name approves short, with a comment",
        outcome,
    );
    tally.is(
        "stamped",
        &gate.annotation("r1", &second).await,
        &says("approve", "carol@example.com # fine by me"),
    );
    let left = gate.annotation("r1", APPROVE).await + &gate.annotation("r1", COMMENT).await;
    tally.is("nothing left of the shorthand", &left, &String::new());

    // --- other types, other people
    let another = digest(0x4);
    let outcome = gate.propose(operator, "r4", RollbackModel, &[]).await;
    tally.allowed("operator proposes a rollback", outcome);
    tally.allowed("operator plans the rollback", gate.plan("r4", &another).await);
    let outcome = gate.annotate(alice, "r4", &[(APPROVE, "true")]).await;
    tally.refused(
        "alice has no approve on rollback",
        DECIDES,
        "user alice may not decide on RollbackModel",
        outcome,
    );
    tally.allowed("dave proposes", gate.propose(dave, "r5", RetrainModel, &[]).await);
    tally.allowed(
        "operator plans what dave proposed",
        gate.plan("r5", &digest(0x5)).await,
    );
    let outcome = gate
        .propose(dave, "r6", RetrainModel, &[(PROPOSED_BY, "alice")])
        .await;
    tally.allowed("dave's claim to be alice is overwritten", outcome);
    tally.is(
        "dave it is",
        &gate.annotation("r6", PROPOSED_BY).await,
        &"dave".to_owned(),
    );
    let outcome = gate.annotate(dave, "r5", &[(APPROVE, "true")]).await;
    tally.refused(
        "dave approves own",
        DECIDES,
        "the user who proposed an action may reject it but not approve it",
        outcome,
    );
    let outcome = gate.annotate(dave, "r5", &[(PROPOSED_BY, REMOVED)]).await;
    tally.refused(
        "dave removes proposed-by",
        DECIDES,
        "modelward.io/proposed-by cannot be changed: it is dave",
        outcome,
    );
    tally.allowed(
        "dave rejects own",
        gate.annotate(dave, "r5", &[(REJECT, "true")]).await,
    );
    let outcome = gate
        .annotate(
            alice,
            "r5",
            &[(REJECT, "true"), (COMMENT, "not before the audit")],
        )
        .await;
    tally.allowed("alice rejects too", outcome);
    let outcome = gate.annotate(alice, "r5", &[(APPROVE, "true")]).await;
    tally.refused(
        "an approval after a rejection",
        DECIDES,
        "this action was rejected (reject sha256:",
        outcome,
    );
    let outcome = gate.annotate(alice, "r5", &[(&decision(1), REMOVED)]).await;
    tally.refused("a rejection taken back", DECIDES, changed, outcome);
    let outcome = gate
        .annotate(
            alice,
            "r4",
            &[(APPROVE, "true"), (&decision(9), &says("approve", "bob"))],
        )
        .await;
    tally.refused(
        "approve and forged stamp together",
        DECIDES,
        "user alice may not decide on RollbackModel",
        outcome,
    );
    let outcome = gate.annotate(&gate.admin, "r4", &[(APPROVE, "true")]).await;
    tally.allowed("admin by * may approve (documented)", outcome);
    tally.allowed(
        "the operator deletes an old record",
        gate.delete::<RemediationAction>(operator, "r6").await,
    );
    for (use_, who) in [
        (
            "a namespace with an action can be deleted",
            &gate.namespace_controller,
        ),
        ("the garbage collector takes what its owner left", &gate.collector),
    ] {
        gate.propose(operator, "doomed", RetrainModel, &[]).await.unwrap();
        tally.allowed(use_, gate.delete::<RemediationAction>(who, "doomed").await);
    }
}

/// What a proposal may say, and that its record stays.
pub async fn proposing_and_keeping(gate: &Gate, tally: &mut Tally) {
    let (dave, operator) = (&gate.dave, &gate.operator);
    for (use_, kind) in [
        ("dave proposes an alert", SendAlert),
        ("dave proposes a promotion", PromoteModel),
    ] {
        let name = format!("p-{}", kind.as_str().to_lowercase());
        tally.allowed(use_, gate.propose(dave, &name, kind, &[]).await);
    }
    let absent = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "none", "uid": "00000000-0000-0000-0000-000000000000"}]);
    let mut born = action("p1", RetrainModel, &[]);
    born.metadata.owner_references = serde_json::from_value(absent).unwrap();
    let outcome = gate.actions(dave).create(&PostParams::default(), &born).await;
    tally.refused(
        "born with an owner that is not there",
        DECIDES,
        "owner references and finalizers of an action are the operator's",
        outcome,
    );
    let mut born = action("p1", RetrainModel, &[]);
    born.metadata.finalizers = Some(vec!["example.com/wedge".into()]);
    let outcome = gate.actions(dave).create(&PostParams::default(), &born).await;
    tally.refused(
        "born with a finalizer",
        DECIDES,
        "owner references and finalizers of an action are the operator's",
        outcome,
    );

    // An approval of the parent must not carry what another user hangs below it.
    let parent = gate.actions(operator).get("r1").await.unwrap();
    let mut child = action("p2", PromoteModel, &[]);
    child.data["spec"]["parentRef"] = json!({"name": "r1", "uid": parent.metadata.uid});
    let outcome = gate.actions(dave).create(&PostParams::default(), &child).await;
    tally.refused(
        "dave hangs a promotion below an approved retrain",
        DECIDES,
        "spec.parentRef is the operator's",
        outcome,
    );
    let outcome = gate
        .actions(operator)
        .create(&PostParams::default(), &child)
        .await;
    tally.allowed("the operator hangs a promotion below a retrain", outcome);

    // No word of a tenant makes an action less risky.
    let mut bold = action("p3", RetrainModel, &[]);
    bold.data["spec"]["risk"] = "Low".into();
    let (made, said) = gate.kubectl(
        User::Dave,
        &["create", "-f", "-"],
        &serde_json::to_string(&bold).unwrap(),
    );
    tally.holds(
        "risk lowered by a tenant, in the spec",
        !made && said.contains("unknown field \"spec.risk\""),
        &said,
    );
    let outcome = gate
        .propose(dave, "p3", RetrainModel, &[("modelward.io/risk", "Low")])
        .await;
    tally.refused(
        "risk lowered by a tenant, in an annotation",
        By::Policy(RECORDS),
        "modelward.io/risk is not an annotation of remediationactions. Known: modelward.io/approve",
        outcome,
    );
    let mut bold = action("p3", RetrainModel, &[]);
    bold.data["status"] = json!({"plan": plan(&digest(0xe))});
    let born = gate
        .actions(dave)
        .create(&PostParams::default(), &bold)
        .await
        .unwrap();
    tally.holds(
        "a plan at birth",
        born.data.get("status").is_none(),
        "the API server drops it",
    );
    let mut lower = plan(&digest(0xe));
    lower["risk"] = "Low".into();
    lower["approvalsRequired"] = 0.into();
    let outcome = gate
        .write_status::<RemediationAction>(&gate.bob, "p3", json!({"plan": lower}), false)
        .await;
    tally.refused(
        "risk lowered by a tenant, in the status",
        By::Policy(STATUS),
        "the status of remediationactions is written by the operator",
        outcome,
    );

    // A decision that comes with a status is dropped before anything reads it.
    let smuggled = json!({
        "metadata": {"annotations": {decision(1): format!("approve {} alice", digest(6))}},
        "status": {"plan": plan(&digest(6))},
    });
    let params = PatchParams::default();
    let outcome = gate
        .actions(operator)
        .patch_status("p3", &params, &Patch::Merge(smuggled))
        .await;
    let left = outcome.map(|action| of_object(&action, &decision(1)));
    tally.holds(
        "a decision in a status write",
        left.as_ref().is_ok_and(String::is_empty),
        &format!("{left:?}"),
    );
}

/// A plan that changes, an action that ends or is made again, and the last places.
pub async fn deciding_again(gate: &Gate, tally: &mut Tally) {
    let (alice, carol, dave, operator) = (&gate.alice, &gate.carol, &gate.dave, &gate.operator);

    gate.planned("again", RetrainModel, &digest(0x10)).await;
    let outcome = gate.annotate(alice, "again", &[(APPROVE, &digest(0x10))]).await;
    tally.allowed("alice names the plan that she has read, short", outcome);
    let line = gate.annotation("again", &decision(1)).await;
    tally.is(
        "it is stamped like the long form",
        &line.clone(),
        &format!("approve {} alice", digest(0x10)),
    );
    gate.plan("again", &digest(0x11)).await.unwrap();
    let outcome = gate.annotate(alice, "again", &[(&decision(2), &line)]).await;
    tally.refused(
        "an approval of the former plan",
        DECIDES,
        "then run: kubectl annotate",
        outcome,
    );
    let outcome = gate.annotate(alice, "again", &[(APPROVE, &digest(0x10))]).await;
    tally.refused(
        "an approval of the former plan, shorthand",
        DECIDES,
        "then run: kubectl annotate",
        outcome,
    );
    tally.allowed(
        "alice approves the changed plan",
        gate.annotate(alice, "again", &[(APPROVE, "true")]).await,
    );
    tally.allowed(
        "alice thinks again and rejects",
        gate.annotate(alice, "again", &[(REJECT, "true")]).await,
    );
    let outcome = gate.annotate(carol, "again", &[(APPROVE, "true")]).await;
    tally.refused(
        "carol overrules the rejection",
        DECIDES,
        "and that is final: propose another one",
        outcome,
    );
    tally.allowed(
        "the operator deletes it",
        gate.delete::<RemediationAction>(operator, "again").await,
    );
    gate.planned("again", RetrainModel, &digest(0x12)).await;
    let outcome = gate.annotate(alice, "again", &[(&decision(1), &line)]).await;
    tally.refused(
        "replay on a recreated object",
        DECIDES,
        "then run: kubectl annotate",
        outcome,
    );
    let outcome = gate
        .propose(operator, "again-2", RetrainModel, &[(&decision(1), &line)])
        .await;
    tally.refused(
        "replay on an object of another name",
        DECIDES,
        "an action cannot be created with a decision on it",
        outcome,
    );

    // --- people whose approval the plan does not count
    let mut excluding = plan(&digest(0x13));
    excluding["excludedApprovers"] = json!(["carol@example.com"]);
    gate.propose(operator, "made-by-carol", PromoteModel, &[])
        .await
        .unwrap();
    gate.write_status::<RemediationAction>(operator, "made-by-carol", json!({"plan": excluding}), false)
        .await
        .unwrap();
    let outcome = gate.annotate(carol, "made-by-carol", &[(APPROVE, "true")]).await;
    tally.refused(
        "who made a version approves its promotion",
        DECIDES,
        "carol@example.com may not approve this plan (status.plan.excludedApprovers)",
        outcome,
    );
    tally.allowed(
        "another one approves it",
        gate.annotate(dave, "made-by-carol", &[(APPROVE, "true")]).await,
    );
    tally.allowed(
        "who made it may reject it",
        gate.annotate(carol, "made-by-carol", &[(REJECT, "true")]).await,
    );

    // --- the end
    for (name, status, reason) in [("expired", "False", "Expired"), ("succeeded", "True", "Verified")] {
        gate.planned(name, RetrainModel, &digest(0x14)).await;
        let ended = json!({"conditions": [{"type": "Succeeded", "status": status, "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T10:00:00Z"}]});
        gate.write_status::<RemediationAction>(operator, name, ended, false)
            .await
            .unwrap();
        let outcome = gate.annotate(alice, name, &[(APPROVE, "true")]).await;
        let words = format!("this action has ended (Succeeded={status} {reason})");
        tally.refused(
            &format!("an approval of an action that has {name}"),
            DECIDES,
            &words,
            outcome,
        );
    }
    gate.planned("waiting", RetrainModel, &digest(0x15)).await;
    let waits = json!({"conditions": [{"type": "Succeeded", "status": "Unknown", "reason": "AwaitingApproval", "message": "", "lastTransitionTime": "2026-01-01T10:00:00Z"}]});
    gate.write_status::<RemediationAction>(operator, "waiting", waits, false)
        .await
        .unwrap();
    tally.allowed(
        "alice approves one that waits",
        gate.annotate(alice, "waiting", &[(APPROVE, "true")]).await,
    );

    // --- the last places are for rejections
    gate.planned("crowded", RetrainModel, &digest(0x20)).await;
    for number in 1..=14 {
        gate.plan("crowded", &digest(0x20 + number)).await.unwrap();
        gate.annotate(alice, "crowded", &[(APPROVE, "true")])
            .await
            .unwrap();
    }
    let outcome = gate.annotate(carol, "crowded", &[(APPROVE, "true")]).await;
    tally.refused(
        "approvals that leave no place for a rejection",
        DECIDES,
        "too many decisions on this action already",
        outcome,
    );
    tally.allowed(
        "a rejection has a place",
        gate.annotate(carol, "crowded", &[(REJECT, "true")]).await,
    );
}

/// As people type it.
pub async fn with_kubectl(gate: &Gate, tally: &mut Tally) {
    gate.planned("typed", RetrainModel, &digest(0x30)).await;
    let annotate = |who: User, annotation: &str| gate.kubectl(who, &["annotate", "ra/typed", annotation], "");
    let (done, said) = annotate(User::Bob, "modelward.io/approve=true");
    tally.holds(
        "bob types the short form",
        !done && said.contains("may not decide on RetrainModel"),
        &said,
    );
    let (done, said) = annotate(User::Alice, "modelward.io/approve=yes");
    tally.holds(
        "alice types another word",
        !done && said.contains("set either modelward.io/approve"),
        &said,
    );
    let long = format!("{}=approve {} alice # read it", decision(1), digest(0x30));
    let done = [
        annotate(User::Carol, "modelward.io/approve=true"),
        annotate(User::Alice, &long.replacen("/1=", "/2=", 1)),
    ];
    for (use_, (done, said)) in ["carol types the short form", "alice types the long form"]
        .into_iter()
        .zip(done)
    {
        tally.is(
            use_,
            &(done, said.trim()),
            &(true, "remediationaction.modelward.io/typed annotated"),
        );
    }
    tally.is(
        "both are there",
        &gate.annotation("typed", &decision(1)).await,
        &format!("approve {} carol@example.com", digest(0x30)),
    );
    let (done, said) = gate.kubectl(
        User::Bob,
        &["replace", "--force", "-f", "-"],
        &serde_json::to_string(&action("typed", RetrainModel, &[])).unwrap(),
    );
    tally.holds(
        "bob replaces it by force",
        !done && said.contains("the record of an action is kept"),
        &said,
    );
    let audit = std::fs::read_to_string(gate.api.audit_log()).unwrap_or_default();
    let said = format!(
        "\"decisions.modelward.io/decision\":\"RetrainModel approve {} carol@example.com\"",
        digest(0x30)
    );
    tally.is("the audit log has it", &audit.contains(&said), &true);
    let (done, said) = gate.kubectl(User::Bob, &["get", "ra", "typed"], "");
    tally.is(
        "and what it shows is a table",
        &(done, said.contains("RISK") && said.contains("Medium")),
        &(true, true),
    );
}

/// A user whose name only an impersonator can have here, with the rights of a cluster administrator.
fn masked(gate: &Gate, name: &str) -> Person {
    Person::impersonated(gate.api, name, &["system:masters"])
}
