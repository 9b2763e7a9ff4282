//! The holder of a file that is in use.

use super::*;

#[test]
fn who_has_a_file_in_use_is_said_as_it_is() {
    let folder = Folder::new("holders");
    let path = folder.file("volume", 8192);
    let other_name = folder.0.join("link");
    std::os::unix::fs::symlink(&path, &other_name).expect("linked");
    let [volume, read, linked] = [
        spec("data", Access::Volume, Some(&path)),
        spec("more", Access::Read, Some(&path)),
        spec("link", Access::Volume, Some(&other_name)),
    ];
    let refused = |specs: &[&DiskSpec]| {
        let specs: Vec<_> = specs.iter().map(|spec| (*spec).clone()).collect();
        Disks::open(&specs, 0).map(|_| ()).expect_err("in use").to_string()
    };
    for (pair, holder) in
        [([&volume, &read], "data"), ([&read, &volume], "more"), ([&volume, &linked], "data")]
    {
        let said = refused(&pair);
        let expected = format!("in use by the disk {holder:?} of the same machine");
        assert!(said.contains(&expected), "{said}");
    }
    // Both read, which is allowed.
    let again = DiskSpec { name: "again".to_owned(), ..read.clone() };
    Disks::open(&[read.clone(), again], 0).map(|_| ()).expect("nobody writes");
    let mut machine = Disk::open(&volume).expect("nobody has it");
    assert!(refused(&[&read]).contains("in use by another machine of this process"));
    // Its clone alone has it still.
    let clone = machine.fork();
    drop(machine);
    assert!(refused(&[&read]).contains("or a clone of one"));
    drop(clone);
    let elsewhere = std::fs::File::open(&path).expect("there");
    elsewhere.lock().expect("nobody has it");
    assert!(refused(&[&volume]).contains("in use by another process"));
}
