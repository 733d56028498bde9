//! A proxy in front of a registry that counts bytes, and once cuts a connection.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

pub struct Proxy {
    address: SocketAddr,
    books: Arc<Books>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Books {
    has_cut: AtomicBool,
    uploaded_bytes: AtomicU64,
    downloaded_bytes: AtomicU64,
}

/// After how many bytes of one connection it is cut.
#[derive(Clone, Copy)]
struct Cut {
    upload_bytes: u64,
    download_bytes: u64,
}

impl Proxy {
    pub fn cutting_uploads_once(registry: SocketAddr, upload_bytes: u64) -> Proxy {
        Proxy::start(registry, Cut { upload_bytes, download_bytes: u64::MAX })
    }

    pub fn cutting_downloads_once(registry: SocketAddr, download_bytes: u64) -> Proxy {
        Proxy::start(registry, Cut { upload_bytes: u64::MAX, download_bytes })
    }

    fn start(registry: SocketAddr, cut: Cut) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (books, stopping) = (Arc::<Books>::default(), Arc::new(AtomicBool::new(false)));
        let (kept, stop) = (Arc::clone(&books), Arc::clone(&stopping));
        let thread = std::thread::spawn(move || {
            for client in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let (client, server) = (client.unwrap(), TcpStream::connect(registry).unwrap());
                let (up, down) = (Arc::clone(&kept), Arc::clone(&kept));
                let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || forward(client, server, cut.upload_bytes, &up.uploaded_bytes, &up.has_cut));
                std::thread::spawn(move || {
                    forward(back.0, back.1, cut.download_bytes, &down.downloaded_bytes, &down.has_cut);
                });
            }
        });
        Proxy { address, books, stopping, thread: Some(thread) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn has_cut(&self) -> bool {
        self.books.has_cut.load(Ordering::SeqCst)
    }

    pub fn uploaded_bytes(&self) -> u64 {
        self.books.uploaded_bytes.load(Ordering::SeqCst)
    }

    pub fn downloaded_bytes(&self) -> u64 {
        self.books.downloaded_bytes.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
        self.thread.take().unwrap().join().unwrap();
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, cut_bytes: u64, counter: &AtomicU64, has_cut: &AtomicBool) {
    let mut piece = [0; 16 << 10];
    let mut passed = 0;
    while let Ok(count) = from.read(&mut piece) {
        if count == 0 || to.write_all(&piece[..count]).is_err() {
            break;
        }
        passed += count as u64;
        counter.fetch_add(count as u64, Ordering::SeqCst);
        if passed > cut_bytes && !has_cut.swap(true, Ordering::SeqCst) {
            // Lets the registry read what it has got, as a network that goes away does.
            std::thread::sleep(std::time::Duration::from_millis(200));
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
