"""The outbox agent of one office: takes its reports, keeps them on disk, and sends them whenever that is possible."""
