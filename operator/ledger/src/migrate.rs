//! Migrates the schema to the version of this program, and grants the ledger's role only the privileges that it needs.

use std::{path::PathBuf, time::Duration};

use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::{Instant, sleep, timeout};

use crate::database::{MIGRATOR, describe, options};

/// The configuration of a migration.
#[derive(Clone, Debug)]
pub struct MigrateConfig {
    /// A file with the `postgres://` URL of the role that owns the schema.
    pub database_url_file: PathBuf,
    /// The role with which the ledger connects. It must exist.
    pub ledger_role: String,
    /// How long to wait for PostgreSQL.
    pub patience: Duration,
}

/// Why a migration failed.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The file with the URL cannot be read or is not valid.
    #[error("the database URL file {path:?} cannot be used: {why}")]
    Url {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// PostgreSQL did not become usable in time.
    #[error("PostgreSQL was unavailable for {patience:?}: {why}")]
    Away {
        /// How long the program waited.
        patience: Duration,
        /// The error of the last attempt.
        why: String,
    },
    /// A migration failed; PostgreSQL rolled it back.
    #[error("failed to migrate the schema")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The ledger's role does not exist.
    #[error(
        "role {0:?} does not exist: create it with CREATE ROLE … LOGIN PASSWORD …, the migration does not need its password"
    )]
    NoRole(String),
    /// The grants failed.
    #[error("failed to grant to the ledger's role")]
    Grant(#[from] sqlx::Error),
}

/// Privileges of the ledger's role. The index of artifacts and the verdicts are append-only.
const GRANTS: [(&str, &str); 12] = [
    ("model_versions", "SELECT, INSERT, UPDATE"),
    ("job_results", "SELECT, INSERT, UPDATE"),
    ("job_progress", "SELECT, INSERT, UPDATE"),
    ("artifacts", "SELECT, INSERT"),
    (
        "counts",
        "SELECT, INSERT, UPDATE (sequence, closed, rows, synthetic, repeated, over_limit, envelope, counters, received_at)",
    ),
    ("publications", "SELECT, INSERT, UPDATE"),
    ("feedback", "SELECT, INSERT, UPDATE (contradicted_by)"),
    ("drift_reports", "SELECT, INSERT"),
    ("search_rounds", "SELECT, INSERT"),
    ("_sqlx_migrations", "SELECT"),
    ("FUNCTION delete_expired(integer)", "EXECUTE"),
    ("FUNCTION forget_searches(text, uuid)", "EXECUTE"),
];

// === impl MigrateConfig ===

impl Default for MigrateConfig {
    fn default() -> Self {
        Self {
            database_url_file: "/etc/modelward/database/url".into(),
            ledger_role: "modelward_ledger".into(),
            patience: Duration::from_mins(2),
        }
    }
}

/// Waits for PostgreSQL, migrates the schema and grants privileges. It can be run repeatedly and concurrently.
pub async fn migrate(config: MigrateConfig) -> Result<(), MigrateError> {
    // A pool with one connection, because the future of the migrator is `Send` only with a pool.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_lazy_with(reach(&config).await?);
    let MigrateConfig {
        ledger_role: role, ..
    } = config;
    // If the schema is newer than this program (after a rollback of the chart), there is nothing to do. This is not an error.
    let mut migrator = Migrator::with_migrations(MIGRATOR.iter().cloned().collect());
    migrator.set_ignore_missing(true);
    migrator.run(&pool).await?;
    grant(&mut *pool.acquire().await?, &role).await?;
    pool.close().await;
    tracing::info!("the schema is current and role {role} has its privileges");
    Ok(())
}

/// Waits for PostgreSQL. Returns the options of the connection.
async fn reach(config: &MigrateConfig) -> Result<PgConnectOptions, MigrateError> {
    let deadline = Instant::now() + config.patience;
    let mut logged = String::new();
    loop {
        let path = &config.database_url_file;
        let url_error = |why| MigrateError::Url {
            path: path.clone(),
            why,
        };
        let url = tokio::fs::read_to_string(path)
            .await
            .map_err(|error| url_error(error.to_string()))?;
        // The timeouts of the ledger would interrupt a long migration, or the wait for one that is already running.
        let options = options(url.trim())
            .map_err(url_error)?
            .options([("statement_timeout", "0"), ("lock_timeout", "0")]);
        let why = match timeout(Duration::from_secs(5), PgConnection::connect_with(&options)).await {
            Ok(Ok(connection)) => {
                connection.close().await?;
                return Ok(options);
            }
            Ok(Err(error)) => describe(&error),
            Err(_) => "it did not answer".into(),
        };
        if Instant::now() >= deadline {
            return Err(MigrateError::Away {
                patience: config.patience,
                why,
            });
        }
        if logged != why {
            tracing::info!("waiting for PostgreSQL: {why}");
            logged = why;
        }
        sleep(Duration::from_secs(1)).await;
    }
}

async fn grant(connection: &mut PgConnection, role: &str) -> Result<(), MigrateError> {
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
        .bind(role)
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        return Err(MigrateError::NoRole(role.to_owned()));
    }
    let owner: bool = sqlx::query_scalar("SELECT current_user = $1")
        .bind(role)
        .fetch_one(&mut *connection)
        .await?;
    if owner {
        tracing::warn!(
            "role {role} owns the schema and so has all privileges: use a separate role for the ledger"
        );
        return Ok(());
    }
    let quoted: String = sqlx::query_scalar("SELECT quote_ident($1)")
        .bind(role)
        .fetch_one(&mut *connection)
        .await?;
    let (database, schema): (String, String) =
        sqlx::query_as("SELECT quote_ident(current_database()), quote_ident(current_schema())")
            .fetch_one(&mut *connection)
            .await?;
    let mut statements = vec![
        format!("GRANT CONNECT ON DATABASE {database} TO {quoted}"),
        format!("GRANT USAGE ON SCHEMA {schema} TO {quoted}"),
        // Revokes what an earlier release granted and this one does not need.
        format!("REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {quoted}"),
    ];
    statements.extend(GRANTS.map(|(on, privileges)| format!("GRANT {privileges} ON {on} TO {quoted}")));
    let mut transaction = connection.begin().await?;
    // Two concurrent grants on one table fail with "tuple concurrently updated".
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('modelward grants'))")
        .execute(&mut *transaction)
        .await?;
    for statement in statements {
        // Every name in it is a constant or was quoted by the server.
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}
