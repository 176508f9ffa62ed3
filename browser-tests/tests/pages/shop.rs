use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use kser::consumer::RunningConsumer;
use kser::run::Run;
use kser::{Client, Context, Entrypoint, IntoTask, Registry, RetryPolicy, Step, TaskError};
use serde::{Deserialize, Serialize};

macro_rules! entrypoint {
    ($name:ident, $path:literal) => {
        #[derive(Debug, Clone, Serialize, Deserialize, Entrypoint)]
        #[entrypoint($path)]
        pub(crate) struct $name {
            pub(crate) order: u64,
            pub(crate) note: String,
        }
    };
}

entrypoint!(Reserve, "shop.Reserve");
entrypoint!(Charge, "shop.Charge");
entrypoint!(Ship, "shop.Ship");
entrypoint!(Sew, "shop.Sew");
entrypoint!(Approve, "office.Approve");
entrypoint!(Mail, "mail.Digest");

/// Text that is dangerous where it is not shown as text.
pub(crate) const HOSTILE: &str = "</p><script>document.title='ran'</script><img src=http://elsewhere.invalid/x.png onerror=alert(1)>";

async fn reserve(reserve: Reserve) -> Result<String, TaskError> {
    tokio::time::sleep(Duration::from_millis(40)).await;
    Ok(format!("order {} has its parts", reserve.order))
}

async fn charge(bank_is_open: Arc<AtomicBool>, charge: Charge) -> Result<String, TaskError> {
    tokio::time::sleep(Duration::from_millis(120)).await;
    match bank_is_open.load(Ordering::Relaxed) {
        true => Ok(format!("order {} is paid", charge.order)),
        false if charge.note.is_empty() => {
            let refused = format!(
                "ERR-29885 connection refused (os error 111), order {}",
                charge.order
            );
            Err(TaskError::temporary("Bank", refused))
        }
        false => Err(TaskError::permanent("Bank", charge.note)),
    }
}

async fn ship(_: Ship) -> String {
    tokio::time::sleep(Duration::from_millis(60)).await;
    "shipped to Elm Street 1".to_owned()
}

async fn sew(ctx: Context, _: Sew) -> Result<(), TaskError> {
    ctx.progress(31, 90, "seams");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    Ok(())
}

async fn mail(mail: Mail) -> Result<(), TaskError> {
    Err(TaskError::permanent(
        "Missing parameter",
        format!("currency of {}", mail.order),
    ))
}

/// An installation with consumers: runs that end well, fail, stand and are repaired.
pub(crate) struct Shop {
    pub(crate) client: Client,
    bank_is_open: Arc<AtomicBool>,
    consumer: Option<RunningConsumer>,
    folder: PathBuf,
}

impl Shop {
    /// Opens a shop on a new file of SQLite, whose bank is closed.
    pub(crate) async fn open() -> Self {
        static SHOPS: AtomicU32 = AtomicU32::new(0);
        let number = SHOPS.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("kser-pages-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let store = format!("sqlite://{}/shop.db", folder.display());
        let client = kser::connect_with_store("memory://", &store).await.unwrap();
        let bank_is_open = Arc::new(AtomicBool::new(false));
        let often = RetryPolicy::exponential(3, Duration::from_millis(250));
        let bank = Arc::clone(&bank_is_open);
        let paid = move |order: Charge| charge(Arc::clone(&bank), order);
        let registry = Registry::new()
            .task(reserve)
            .task(paid.with_retry(often))
            .task(ship)
            .task(sew)
            .task(mail.with_retry(RetryPolicy::never()));
        let consumer = client
            .consumer(registry.build().unwrap())
            .with_instance("shop-0")
            .with_version("1.4.2")
            .spawn();
        Self {
            client,
            bank_is_open,
            consumer: Some(consumer),
            folder,
        }
    }

    /// Opens or closes the bank: while it is closed, orders cannot be paid.
    pub(crate) fn set_bank(&self, is_open: bool) {
        self.bank_is_open.store(is_open, Ordering::Relaxed);
    }

    /// Launches an order, which is paid and shipped while the bank is open.
    pub(crate) async fn order(&self, id: &str, note: &str) -> Run {
        // The number of the order is that in the id.
        let digits = id.chars().filter(char::is_ascii_digit);
        let order = digits.take(4).collect::<String>().parse().unwrap();
        let note = note.to_owned();
        let steps = vec![
            Step::new(Reserve {
                order,
                note: note.clone(),
            }),
            Step::new(Charge {
                order,
                note: note.clone(),
            }),
            Step::new(Ship { order, note }),
        ];
        self.launch(id, "shop.Order", steps).await
    }

    async fn launch(&self, id: &str, operation: &str, steps: Vec<Step>) -> Run {
        let launch = self.client.producer().launch_steps(operation, steps);
        launch.with_id(id).await.unwrap()
    }

    /// Fills the shop with runs of every kind, waits, and dead letters.
    pub(crate) async fn fill(&self) {
        self.set_bank(true);
        for order in 1..=6 {
            self.order(&format!("order-100{order}"), "")
                .await
                .wait()
                .await
                .unwrap();
        }
        self.set_bank(false);
        let failed = [
            self.order("order-7421", "").await,
            self.order("order-7422", "").await,
            self.order("order-7423", "card 4711 is refused").await,
            self.order("order-<b>7424</b>&amp;\"'", HOSTILE).await,
        ];
        for run in failed {
            run.wait().await.unwrap();
        }
        let runs = self.client.runs().by("oncall", "the bank has opened again");
        self.set_bank(true);
        runs.resume(&"order-7422".into()).await.unwrap();
        runs.wait(&"order-7422".into()).await.unwrap();
        self.set_bank(false);
        let (order, note) = (9, String::new());
        let approve = Step::new(Approve {
            order,
            note: note.clone(),
        })
        .external(Duration::from_secs(3600));
        self.launch(
            "order-9",
            "shop.Order",
            vec![
                approve,
                Step::new(Ship {
                    order,
                    note: note.clone(),
                }),
            ],
        )
        .await;
        self.launch(
            "dress-10",
            "shop.Dress",
            vec![Step::new(Sew {
                order,
                note: note.clone(),
            })],
        )
        .await;
        let producer = self.client.producer();
        for order in 0..5 {
            producer
                .send(Mail {
                    order,
                    note: note.clone(),
                })
                .await
                .unwrap();
        }
        producer
            .send(Mail { order, note })
            .with_delay(Duration::from_secs(3600))
            .await
            .unwrap();
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        drop(self.consumer.take());
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
