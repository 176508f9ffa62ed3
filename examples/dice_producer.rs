//! The producer of the dice game, in a process of its own: launches three rolls and waits for their end. Needs Kafka.

use kser_examples::dice::DiceLaunch;

#[tokio::main]
async fn main() -> Result<(), kser::Error> {
    kser_examples::show_log();
    let kser = kser::connect(&kser_examples::url()).await?;
    let run = kser.producer().launch(DiceLaunch { rolls: 3 }).await?;
    println!("{} is launched, and ends when a consumer runs", run.id());
    println!("{}", run.wait().await?.status);
    Ok(())
}
