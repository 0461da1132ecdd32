-- Ingestion: the inode of every file, so that one that was put in another's place, with its size and
-- times, is seen without reading it. Files without one are read once more.

alter table rag_files add column inode bigint;
